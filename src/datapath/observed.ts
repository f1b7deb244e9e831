/** The header of a stream in `observe`, read while its bytes flow: judged, and then handed to whoever reads along. */
import type { StreamHeader } from '../wire/stream-header.ts';
import type { TransportSetting } from '../wire/transport.ts';
import type { ExchangeInside } from './exchange-inside.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import { createHeaderTap } from './header-reader.ts';
import { isNeutral } from './neutral.ts';

export class ObservedHeader {
  /** To be given every chunk of the request before it goes on, and `ended` when no more will come. */
  readonly read: (chunk: Uint8Array, ended: boolean) => void;
  readonly #inside: ExchangeInside;
  /** What was read, until it has gone on and may be watched. */
  #found: { readonly header: StreamHeader; readonly seen: Uint8Array } | undefined;

  /** `reject` is called where the stage has changed since the stream was accepted, and the stream may not go on. */
  constructor(transport: TransportSetting, record: ExchangeRecord, inside: ExchangeInside, reject: () => void) {
    this.#inside = inside;
    this.read = createHeaderTap(transport, (header, head) => {
      if (record.judge(header, head.length, isNeutral(header, head)).verdict === 'reject') reject();
      else {
        record.count(0);
        this.#found = { header, seen: head.subarray(header.bodyAt) };
      }
    });
  }

  /** Begins to watch the stream, once its header was read and has gone on. Whether it has begun with this call. */
  watch(): boolean {
    if (this.#found === undefined) return false;
    const { header, seen } = this.#found;
    this.#found = undefined;
    this.#inside.watchPassing(header, [seen]);
    return true;
  }
}
