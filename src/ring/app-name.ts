/**
 * What our own app calls itself: the SourceNode of its pings, or, where it shows none (memberlist before v0.2.0), the member that the
 * app itself names alive at our own address.
 */
import { NAME_MAX_CHARS } from './tuple.ts';

/** Whether a member at this address and port is our own app. */
export type IsLocal = (address: string, port: number) => boolean;

export class AppName {
  readonly #isLocal: IsLocal;
  #shown: string | undefined;
  #atHome: string | undefined;

  constructor(isLocal: IsLocal) {
    this.#isLocal = isLocal;
  }

  /** Undefined until it is known. */
  get name(): string | undefined {
    return this.#shown ?? this.#atHome;
  }

  /** The app named itself in a ping. */
  show(name: string): void {
    if (name !== '' && name.length <= NAME_MAX_CHARS) this.#shown = name;
  }

  /** The app named a member alive; what others say of our address is no proof. */
  named(name: string, address: string, port: number): void {
    if (this.#isLocal(address, port)) this.#atHome = name;
    else if (this.#atHome === name) this.#atHome = undefined;
  }
}
