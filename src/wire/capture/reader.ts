/** A capture of any format that is read, told by its first bytes, fed in any chunking. */
import { createByteQueue } from './byte-queue.ts';
import type { CaptureFailure, CaptureFormat, FormatReader, OnFrame } from './frame.ts';
import { createHexReader, isText } from './hex.ts';
import { createPcapReader, isPcap } from './pcap.ts';
import { createPcapngReader, isPcapng } from './pcapng.ts';

const MAGIC_BYTES = 4;

export interface CaptureReader {
  /** Reads what `chunk` completes; false when the capture is broken, for good. The chunk must not change before the next call. */
  push(chunk: Uint8Array): boolean;
  /** No more will come. */
  end(): void;
  /** Undefined until the first bytes told it. */
  format(): CaptureFormat | undefined;
  failure(): CaptureFailure | undefined;
  /** After `end`: bytes of a last record that was cut short, as a capture that was killed leaves it; 0 for none. */
  cutBytes(): number;
}

/** Reads a capture and gives each frame to `onFrame` as soon as it is complete. */
export function createCaptureReader(onFrame: OnFrame): CaptureReader {
  const queue = createByteQueue();
  let format: CaptureFormat | undefined;
  let reader: FormatReader | undefined;
  let failure: CaptureFailure | undefined;
  let cutBytes = 0;

  const detect = (start: Uint8Array): void => {
    if (start.length === MAGIC_BYTES && isPcap(start)) {
      format = 'pcap';
      reader = createPcapReader(queue, onFrame);
    } else if (start.length === MAGIC_BYTES && isPcapng(start)) {
      format = 'pcapng';
      reader = createPcapngReader(queue, onFrame);
    } else if (start.length > 0 && isText(start)) {
      format = 'hex';
      reader = createHexReader(queue, onFrame);
    } else failure = { reason: start.length === 0 ? 'empty' : 'not_a_capture', at: 0 };
  };
  const run = (): void => {
    for (let more = true; more && failure === undefined && reader !== undefined; ) {
      const stepped = reader.step();
      if (typeof stepped === 'boolean') more = stepped;
      else failure = stepped;
    }
  };

  return {
    push(chunk) {
      if (failure !== undefined) return false;
      queue.push(chunk);
      if (reader === undefined) {
        const start = queue.peek(MAGIC_BYTES);
        if (start !== undefined) detect(start);
      }
      run();
      return failure === undefined;
    },
    end() {
      if (failure !== undefined) return;
      if (reader === undefined) detect(queue.peek(queue.size()) ?? new Uint8Array(0));
      run();
      failure ??= reader?.end();
      if (failure === undefined && format !== 'hex') cutBytes = queue.size();
    },
    format: () => format,
    failure: () => failure,
    cutBytes: () => cutBytes,
  };
}
