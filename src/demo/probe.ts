/** The failure detector: one member each interval, directly, then through others and over TCP. Mirrors memberlist state.go `probeNode`. */
import { encodeMessage } from '../wire/messages.ts';
import { addressBytes } from './address.ts';
import { type ExchangeHost, pingOverTcp } from './exchange.ts';
import { type PacketHost, pingMessage, sendMessage, source } from './packets.ts';
import { INDIRECT_CHECKS } from './settings.ts';
import type { Member } from './table.ts';

/** Up to `count` members that `wanted` names, in random order. */
export function pickRandom(members: readonly Member[], count: number, wanted: (member: Member) => boolean): Member[] {
  const pool = members.filter(wanted);
  for (let i = pool.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [pool[i], pool[j]] = [pool[j] as Member, pool[i] as Member];
  }
  return pool.slice(0, count);
}

/** Probes `target` and suspects it when nothing answers within the probe interval. */
export async function probe(host: PacketHost & ExchangeHost, target: Member): Promise<void> {
  const { probeIntervalMs, probeTimeoutMs } = host.settings.timing;
  const startedMs = performance.now();
  const seq = host.acks.next();
  const ping = pingMessage(host, seq, target.name);
  const acked = host.acks.wait(seq, probeIntervalMs);
  sendMessage(host, target.endpoint, ping);
  if (target.state === 'suspect') {
    // state.go sends the suspicion along, so that a living suspect can refute at once.
    const accusation = { Incarnation: target.incarnation, Node: target.name, From: host.settings.name };
    sendMessage(host, target.endpoint, { type: 'suspect', ...accusation });
  }
  if (await firstOf(acked, probeTimeoutMs)) return;
  const isHelper = (member: Member) =>
    member.state === 'alive' && member.name !== target.name && !host.table.isSelf(member.name);
  const { address, port } = target.endpoint;
  const request = { SeqNo: seq, Target: addressBytes(address), Port: port, Node: target.name, ...source(host) };
  for (const helper of pickRandom(host.table.all(), INDIRECT_CHECKS, isHelper)) {
    sendMessage(host, helper.endpoint, { type: 'indirectPing', Nack: (helper.versions[1] ?? 0) >= 4, ...request });
  }
  const leftMs = Math.max(1, probeIntervalMs - (performance.now() - startedMs));
  const overTcp = pingOverTcp(target.endpoint, encodeMessage(ping), leftMs, host);
  const answers = await Promise.all([acked, overTcp]);
  if (answers.includes(true)) return;
  host.table.suspect({ Node: target.name, Incarnation: target.incarnation, From: host.settings.name });
}

/** Whether `promise` resolves with true within `timeoutMs`. */
function firstOf(promise: Promise<boolean>, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, timeoutMs, false);
    void promise.then((value) => {
      clearTimeout(timer);
      resolve(value);
    });
  });
}
