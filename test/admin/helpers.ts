/** Views and requests for the tests of this room. */
import type { AdminRequest } from '../../src/admin/http.ts';
import type { AdminView, FenceView } from '../../src/admin/view.ts';
import { createStageMachine, type StageChange } from '../../src/control/stage-machine.ts';
import { createSnapshot, decide } from '../../src/policy/decide.ts';
import type { Stage } from '../../src/policy/stage.ts';
import { createTally, TALLY_BYTES } from '../../src/policy/tally.ts';
import { readTallies } from '../../src/policy/tally-reading.ts';
import type { Situation } from '../../src/ring/readiness.ts';
import type { Step } from '../../src/ring/readiness-types.ts';
import { removable } from '../../src/ring/removable.ts';
import { situation } from '../ring/evidence-rows.ts';

export interface MachineChange {
  readonly stage?: Stage;
  /** What readiness says; safe unless told. */
  step?(to: Stage): Step;
  /** What is known of the ring; nothing unless told. */
  readonly situation?: Situation;
  readonly adoption?: Partial<FenceView['adoption']['evidence']>;
}

export interface RecordedFence extends FenceView {
  /** What was changed, in order. */
  readonly changes: readonly StageChange[];
}

const safe = (to: Stage): Step => ({ to, readiness: 'safe', against: [], againstTotal: 0, notes: [] });

/** A fence at accept that rejected one foreign stream and passed one unlabelled packet. */
export function fenceView(change: Partial<FenceView> = {}, more: MachineChange = {}): RecordedFence {
  const changes: StageChange[] = [];
  const { stage = 'accept', step = safe } = more;
  const dialects = change.dialects ?? { sends: 'none', takes: 'none', wire: 'none' };
  const machine = createStageMachine({
    clock: { now: () => 5_000, after: () => () => {} },
    start: { stage, origin: 'config' },
    starting: false,
    auto: false,
    settleMs: 0,
    random: () => 0,
    bounds: () => ({ dialects, ceiling: change.ceiling }),
    step,
    refresh: async () => {},
    apply: async () => {},
    onChange: (made) => changes.push(made),
    onWaits: () => {},
  });
  const known = more.situation ?? situation([], { stage, dialects });
  const buffer = new SharedArrayBuffer(TALLY_BYTES);
  const tally = createTally(buffer);
  const snapshot = createSnapshot({
    stage,
    sends: 'none',
    takes: 'none',
    wire: 'none',
    unterminatedTls: 'reject',
    shield: true,
  });
  const view = { admitted: true, proven: false, foreign: false };
  const stream = { direction: 'inbound', transport: 'native', kind: 'stream' } as const;
  tally.frame(stream, 'foreign', decide({ ...stream, state: 'foreign' }, view, snapshot));
  tally.frame({ ...stream, kind: 'packet' }, 'none', decide({ ...stream, state: 'none' }, view, snapshot));
  return {
    name: 'traces',
    cluster: 'blue',
    mode: 'transparent',
    guardsOutbound: true,
    engine: 'linux',
    engineReason: 'a transparent fence has no other',
    dialects,
    hasAdmissionRules: true,
    ceiling: undefined,
    now: () => 5_000,
    stage: machine.stage,
    requestStage: machine.request,
    changes,
    appUp: () => true,
    notReady: () => [],
    tally: () => readTallies([buffer]),
    open: () => ({ sessions: 1, streamsInbound: 2, streamsOutbound: 3 }),
    peers: () => [
      {
        address: '10.0.0.1',
        port: 0,
        proven: true,
        foreign: false,
        ambiguous: false,
        lastOwnMs: 1_000,
        lastNoneMs: 0,
        lastForeignMs: 0,
        lastSentMs: 0,
        unlabelled: undefined,
      },
    ],
    rejections: (limit) =>
      [
        {
          peer: '10.0.0.9:50000',
          direction: 'inbound',
          transport: 'native',
          kind: 'stream',
          reason: 'label_foreign',
          labelState: 'foreign',
          label: 'green',
          count: 1,
          firstMs: 1_000,
          lastMs: 2_000,
          excerpt: 'alive b-1 10.0.0.9:7946 inc 1',
        } as const,
      ].slice(0, limit),
    rejectionsLeftOut: () => 4,
    foreignLabels: () => [{ label: 'green', count: 1, lastMs: 2_000 }],
    foreignPeers: () => 1,
    ring: undefined,
    inspectionSkipped: () => undefined,
    quarantine: false,
    encryption: { keys: () => 0, reseal: false, problem: () => undefined },
    tls: { notAfterMs: () => undefined, problem: () => undefined },
    sealedPeers: () => [],
    fileProblems: () => [],
    adoption: {
      label: new TextEncoder().encode('blue'),
      member: () => 'a-1',
      machine,
      evidence: {
        situation: () => known,
        evidence: () => known.evidence,
        step,
        fallbacks: () => [],
        ambiguous: () => 0,
        removable: () => removable(known),
        ...more.adoption,
      },
      dns: () => [],
    },
    ...change,
  };
}

export function adminView(...fences: FenceView[]): AdminView {
  return {
    version: '1.2.3',
    fences: fences.length > 0 ? fences : [fenceView()],
    metrics: async () => ({ contentType: 'text/plain', body: 'ringfence_x 1\n' }),
  };
}

/** A GET from loopback, changed by `change`. */
export function request(path: string, change: Partial<AdminRequest> = {}): AdminRequest {
  const [bare = '', query = ''] = path.split('?');
  return {
    method: 'GET',
    path: bare,
    query: new URLSearchParams(query),
    headers: { host: '127.0.0.1:9746' },
    body: '',
    remoteAddress: '127.0.0.1',
    ...change,
  };
}
