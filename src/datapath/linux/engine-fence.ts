/** One fence's way to the engine's thread: start, rules, answers, self-test, stop, and the thread's death. */
import { randomBytes } from 'node:crypto';
import { sameBytes } from '../../wire/label.ts';
import { type Cut, type FenceContext, type FenceRules, StartError, type Stranger } from '../engine.ts';
import type { InsideRules } from '../inside.ts';
import type { EngineThread } from './engine-thread.ts';
import { NONCE_BYTES } from './self-test.ts';
import type { FenceStart, FromFence, ToFence } from './worker-protocol.ts';

/** How long the sockets of a fence may take to open. */
const OPEN_TIMEOUT_MS = 15_000;
const CLOSE_TIMEOUT_MS = 1_000;
const SELF_TEST_TIMEOUT_MS = 1_000;
/** How long new rules may take to be in force; a healthy thread needs a few ms. */
const RULES_TIMEOUT_MS = 1_000;

const NOTHING_CUT: Cut = { streams: 0, sessions: 0 };

export type RuleProblems = ReadonlyMap<4 | 6, string>;

export interface EngineFence {
  /** Resolves to the bound port when its sockets are open. Rejects with a StartError. */
  ready(): Promise<number>;
  /** What it asked about `address`, without it about everyone, is answered. */
  answered(address?: string): void;
  /** Gives it the rules; resolves once it decides by them, or has not said so within RULES_TIMEOUT_MS (a fault, reported). */
  takeRules(rules: FenceRules): Promise<void>;
  takeInside(rules: InsideRules): void;
  /**
   * What is wrong with the rules of each family; one that is absent from the answer is well: its test datagram came back within a
   * second. Calls that overlap share one test.
   */
  selfTest(families: readonly (4 | 6)[]): Promise<RuleProblems>;
  /** Closes its sockets. Resolves when they are, to what that cut; the thread ends with its last fence. */
  stop(): Promise<Cut>;
}

/** What a fence of the thread tells the main thread. */
export interface EngineFenceEvents extends Pick<FenceContext, 'onRejection' | 'onFault'> {
  /** The members were seen to seal with this gossip key. */
  onRingKey(key: Uint8Array): void;
  /** What waits to be inspected should be looked at soon. */
  onInspect(): void;
  /** A frame of somebody unknown waits. */
  onStranger(peer: Stranger): void;
  /** Called once, with a line that says why, when the thread ends without having been told to. */
  onDeath(why: string): void;
}

/** What comes from the thread for one fence. */
export interface FenceLink {
  take(message: FromFence): void;
  died(why: string): void;
}

export interface FenceHome {
  readonly home: Pick<EngineThread, 'up' | 'running'>;
  post(message: ToFence): void;
  /** It is closed: nothing is told any more. Resolves when the thread has ended, if it was the last one's. */
  left(): Promise<void>;
}

export function createEngineFence(
  place: FenceHome,
  events: EngineFenceEvents,
  start: FenceStart,
): { readonly fence: EngineFence; readonly link: FenceLink } {
  const fence = new Fence(place, events);
  fence.open(start);
  return { fence, link: fence };
}

class Fence implements EngineFence, FenceLink {
  readonly #place: FenceHome;
  readonly #events: EngineFenceEvents;
  readonly #opened: Promise<number>;
  #settle: (result: number | StartError) => void = () => undefined;
  readonly #listeners = new Set<(message: FromFence) => void>();
  #started = false;
  #stopping = false;
  #dead = false;
  /** The last question that arrived here: what was asked since is not answered by what was known before. */
  #asked = 0;
  #revision = 0;
  #testing: Promise<RuleProblems> | undefined;
  #left: Promise<void> | undefined;

  constructor(place: FenceHome, events: EngineFenceEvents) {
    this.#place = place;
    this.#events = events;
    this.#opened = new Promise((resolve, reject) => {
      this.#settle = (result) => (typeof result === 'number' ? resolve(result) : reject(result));
    });
    // Whoever calls ready() gets the rejection; a fence that fails before anyone does must not end the process by it.
    this.#opened.catch(() => undefined);
  }

  open(start: FenceStart): void {
    this.#place.post({ type: 'open', start });
    void this.#place.home.up.then((problem) => problem !== undefined && this.#settle(problem));
  }

  async ready(): Promise<number> {
    const late = new StartError(
      'worker_failed',
      `the engine's thread took over ${OPEN_TIMEOUT_MS} ms to open the sockets`,
    );
    const timer = setTimeout(() => this.#settle(late), OPEN_TIMEOUT_MS);
    return await this.#opened.finally(() => clearTimeout(timer));
  }

  take(message: FromFence): void {
    switch (message.type) {
      case 'ready':
        this.#started = true;
        this.#settle(message.port);
        break;
      case 'failed':
        this.#settle(new StartError(message.code, message.message));
        void this.#leave();
        break;
      case 'rejection':
        this.#events.onRejection(message.rejection);
        break;
      case 'fault':
        this.#events.onFault(message.fault);
        break;
      case 'inspect':
        this.#events.onInspect();
        break;
      case 'ring_key':
        this.#events.onRingKey(message.key);
        break;
      case 'stranger':
        this.#asked = message.question;
        this.#events.onStranger(message.peer);
        break;
      default:
        for (const listener of this.#listeners) listener(message);
    }
  }

  died(why: string): void {
    this.#dead = true;
    this.#settle(new StartError('worker_failed', `the engine's thread died: ${why}`));
    if (this.#started && !this.#stopping) this.#events.onDeath(why);
  }

  answered(address?: string): void {
    this.#post({ type: 'answered', address, upTo: this.#asked });
  }

  async takeRules(rules: FenceRules): Promise<void> {
    const revision = ++this.#revision;
    const inForce = this.#until(
      RULES_TIMEOUT_MS,
      (message) => message.type === 'rules' && message.revision >= revision,
    );
    this.#post({ type: 'rules', revision, rules });
    // One that is still opening its sockets takes them first thing after.
    if ((await inForce) || this.#stopping || this.#dead || !this.#started) return;
    const message = `the engine's thread has not taken new rules within ${RULES_TIMEOUT_MS} ms`;
    this.#events.onFault({ code: 'worker_slow', message });
  }

  takeInside(inside: InsideRules): void {
    this.#post({ type: 'inside', inside });
  }

  selfTest(families: readonly (4 | 6)[]): Promise<RuleProblems> {
    this.#testing ??= this.#test(families).finally(() => {
      this.#testing = undefined;
    });
    return this.#testing;
  }

  async stop(): Promise<Cut> {
    if (this.#stopping) return NOTHING_CUT;
    let cut = NOTHING_CUT;
    const closed = this.#until(CLOSE_TIMEOUT_MS, (message) => {
      if (message.type === 'closed') ({ cut } = message);
      return message.type === 'closed';
    });
    this.#post({ type: 'close' });
    this.#stopping = true;
    if (this.#started && this.#place.home.running()) await closed;
    await this.#leave();
    return cut;
  }

  async #test(families: readonly (4 | 6)[]): Promise<RuleProblems> {
    const nonce = new Uint8Array(randomBytes(NONCE_BYTES));
    const waiting = new Set(families);
    const problems = new Map<4 | 6, string>(families.map((family) => [family, 'intercepted traffic does not arrive']));
    const done = this.#until(SELF_TEST_TIMEOUT_MS, (message) => {
      if (message.type !== 'self_test' || !sameBytes(message.nonce, nonce)) return false;
      if (message.problem === undefined) problems.delete(message.family);
      else problems.set(message.family, message.problem);
      waiting.delete(message.family);
      return waiting.size === 0;
    });
    this.#post({ type: 'self_test', nonce });
    await done;
    return problems;
  }

  #leave(): Promise<void> {
    this.#left ??= this.#place.left();
    return this.#left;
  }

  #post(message: ToFence): void {
    if (!this.#stopping && !this.#dead) this.#place.post(message);
  }

  /** Whether a message came of which `ends` says so, within `waitMs`. */
  #until(waitMs: number, ends: (message: FromFence) => boolean): Promise<boolean> {
    return new Promise((resolve) => {
      const finish = (came: boolean) => {
        clearTimeout(timer);
        this.#listeners.delete(listener);
        resolve(came);
      };
      const listener = (message: FromFence) => {
        if (ends(message)) finish(true);
      };
      const timer = setTimeout(() => finish(false), waitMs);
      this.#listeners.add(listener);
    });
  }
}
