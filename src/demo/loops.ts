/** What a member does by itself, over and over: gossip, probe, sync. Mirrors memberlist state.go `schedule`. */
import { type ExchangeHost, pushPull } from './exchange.ts';
import { type PacketHost, sendGossip } from './packets.ts';
import { pickRandom, probe } from './probe.ts';
import { GOSSIP_NODES } from './settings.ts';
import type { Member } from './table.ts';

/** Starts the three timers; call the result to end them. */
export function startLoops(host: PacketHost & ExchangeHost): () => void {
  const { timing } = host.settings;
  const { table } = host;
  const gossip = () => {
    const hears = (member: Member) => {
      if (table.isSelf(member.name) || member.state === 'left') return false;
      return member.state !== 'dead' || performance.now() - member.changedMs <= timing.gossipToTheDeadMs;
    };
    for (const member of pickRandom(table.all(), GOSSIP_NODES, hears)) if (!sendGossip(host, member)) return;
  };
  let round: Member[] = [];
  const probeNext = () => {
    if (round.length === 0) {
      table.reap(timing.gossipToTheDeadMs);
      round = pickRandom(table.all(), table.size, (member) => !table.isSelf(member.name));
    }
    // A round may name members that have died or gone since.
    while (round.length > 0) {
      const target = table.get(round.pop()?.name ?? '');
      if (target === undefined || target.state === 'dead' || target.state === 'left') continue;
      void probe(host, target);
      return;
    }
  };
  const sync = () => {
    const isPartner = (member: Member) => member.state === 'alive' && !table.isSelf(member.name);
    const [partner] = pickRandom(table.all(), 1, isPartner);
    // A failed sync is tried again with another partner at the next turn; the probe finds out who is dead.
    if (partner !== undefined) pushPull(partner.endpoint, false, host).catch(() => undefined);
  };
  const timers = [
    setInterval(gossip, timing.gossipIntervalMs),
    setInterval(probeNext, timing.probeIntervalMs),
    setInterval(sync, timing.pushPullIntervalMs),
  ];
  return () => {
    for (const timer of timers) clearInterval(timer);
  };
}
