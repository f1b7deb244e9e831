/** The table of attacks against one kind of member: bare it ends, behind a fence it lives through all of them. */
import type { Test } from 'tap';
import type { Fence } from '../lab/fence.ts';
import type { Host, Lab } from '../lab/lab.ts';
import type { LabProcess } from '../lab/process.ts';
import { rejectedDuring } from '../lab/rejections.ts';
import { ATTACKS, type Attack } from '../policy/attacks.ts';
import { LABEL } from './members.ts';
import { eventually, GOSSIP_PORT } from './peers.ts';
import { APP_PORT, framed, peakMb, send, startVictim, type Way } from './victims.ts';

const COUNT_TIMEOUT_MS = 10_000;

export interface Stand {
  readonly lab: Lab;
  readonly attacker: Host;
  readonly host: Host;
  /** The member's program. */
  readonly program: string;
  wayOf(attack: Attack): Way;
}

/** The member ends on the attack, within `endTimeoutMs`. */
export async function endsBare(t: Test, stand: Stand, attack: Attack, endTimeoutMs: number): Promise<void> {
  const { lab, attacker, host, program, wayOf } = stand;
  const victim = await startVictim(lab, host, program, GOSSIP_PORT);
  await send(lab, attacker, host, wayOf(attack), [framed(attack.bytes(), wayOf(attack))], endTimeoutMs);
  const code = await victim.exited(endTimeoutMs).catch(String);
  const why = victim.lines().find((line) => /^(panic|fatal error|runtime: goroutine stack)/.test(line));
  t.equal(code, 2, `row ${attack.row}, ${attack.name}: ${why}`);
  await victim.kill();
}

/** Every attack, without a label and with ours, on `ways` in their order; `placeOf` is how the metric calls where it was rejected. */
export async function livesBehind(
  t: Test,
  stand: Stand,
  fence: Fence,
  { ways, placeOf, quietMb }: { ways: readonly Way[]; placeOf(attack: Attack): string; quietMb: number },
): Promise<LabProcess> {
  const { lab, attacker, host, program, wayOf } = stand;
  const victim = await startVictim(lab, host, program, APP_PORT);
  await fence.waitUntil('ready');
  const expected: Record<string, number> = {};
  for (const attack of ATTACKS) {
    const key = `inbound ${placeOf(attack)} ${attack.reason}`;
    expected[key] = (expected[key] ?? 0) + 2;
  }
  const framesOf = (way: Way) =>
    ATTACKS.filter((attack) => wayOf(attack) === way).flatMap((attack) =>
      ['', LABEL].map((label) => framed(attack.bytes(), way, label)),
    );
  const grown = await rejectedDuring(fence, async () => {
    for (const way of ways) await send(lab, attacker, host, way, framesOf(way));
    await eventually('all are counted', COUNT_TIMEOUT_MS, async () => {
      const seen = await fence.metric('rejected_total', {});
      return seen >= 2 * ATTACKS.length ? undefined : `${seen} are`;
    }).catch(() => undefined);
  });
  t.strictSame(grown, expected, 'each is rejected for its reason, once without a label and once with ours');
  t.ok(victim.running(), 'the member lives');
  t.ok(peakMb(victim) < quietMb, `it never had more than ${peakMb(victim)} MB`);
  return victim;
}
