/** Holding an answer on its way through the relay until a rule has seen what it needs (hold.ts). */
import type { Flow, FlowOf, FlowSink } from './flow.ts';
import { type Held, Hold, type HoldRefusal, type HoldSettings } from './hold.ts';

/**
 * An answer that is held before it flows. `release` says what is written in place of the held bytes, undefined when it has cut the
 * stream instead. The caller closes what `onHeld` is given with the stream.
 */
export function holding(
  settings: HoldSettings,
  onHeld: (held: Held) => void,
  release: () => readonly Uint8Array[] | undefined,
): FlowOf {
  return (sink) => {
    const answer = new HeldAnswer(settings, sink, release);
    onHeld(answer);
    return answer;
  };
}

class HeldAnswer extends Hold implements Flow {
  readonly #sink: FlowSink;
  /** Undefined once it was asked: what it reaches may be large, and a hold lives as long as its stream. */
  #release: (() => readonly Uint8Array[] | undefined) | undefined;
  #flowing = false;
  #ended = false;

  constructor(settings: HoldSettings, sink: FlowSink, release: () => readonly Uint8Array[] | undefined) {
    super(settings);
    this.#sink = sink;
    this.#release = release;
  }

  push(chunk: Uint8Array): void {
    if (this.#flowing) this.#sink.write(chunk);
    else this.take(chunk);
  }

  end(): void {
    this.#ended = true;
    if (this.#flowing) this.#sink.finish();
    else this.ended();
  }

  keeps(): boolean {
    return !this.#flowing;
  }

  passes(): boolean {
    return this.#flowing;
  }

  protected pause(): void {
    this.#sink.pause();
  }

  protected resume(): void {
    this.#sink.resume();
  }

  protected ready(): void {
    const out = this.#release?.();
    this.#release = undefined;
    if (out === undefined) return;
    this.#flowing = true;
    this.#sink.resume();
    for (const [i, bytes] of out.entries())
      this.#sink.write(bytes, i === out.length - 1 ? () => this.written() : undefined);
    if (this.#ended) this.#sink.finish();
  }

  protected refused(reason: HoldRefusal): void {
    this.#release = undefined;
    this.#sink.cut(reason);
  }
}
