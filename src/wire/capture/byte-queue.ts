/** Bytes that arrived and were not read yet, as the chunks they came in: joined only where a record crosses chunks. */

export interface ByteQueue {
  /** Bytes that wait. */
  size(): number;
  /** Offset of the first of them, counted from the first byte that was ever pushed. */
  offset(): number;
  /** Takes a chunk without copying: it must not change until it was read. */
  push(chunk: Uint8Array): void;
  /** The first `count` bytes, contiguous, still waiting; undefined when fewer are there. */
  peek(count: number): Uint8Array | undefined;
  /** Drops up to `count` bytes and says how many. */
  skip(count: number): number;
}

export function createByteQueue(): ByteQueue {
  let chunks: Uint8Array[] = [];
  // Of the first chunk, what was read already.
  let readBytes = 0;
  let size = 0;
  let offset = 0;

  /** Makes the first chunk at least `count` bytes long. */
  const join = (count: number): void => {
    let have = -readBytes;
    let used = 0;
    while (have < count) have += chunks[used++]?.length ?? count;
    const [first, ...rest] = chunks.slice(0, used);
    const head = first?.subarray(readBytes) ?? new Uint8Array(0);
    chunks = [plain(Buffer.concat([head, ...rest])), ...chunks.slice(used)];
    readBytes = 0;
  };

  return {
    size: () => size,
    offset: () => offset,
    push(chunk) {
      if (chunk.length === 0) return;
      chunks.push(plain(chunk));
      size += chunk.length;
    },
    peek(count) {
      if (count > size) return undefined;
      if ((chunks[0]?.length ?? 0) - readBytes < count) join(count);
      return chunks[0]?.subarray(readBytes, readBytes + count) ?? new Uint8Array(0);
    },
    skip(count) {
      const dropped = Math.min(count, size);
      let left = dropped + readBytes;
      let whole = 0;
      while (whole < chunks.length && left >= (chunks[whole]?.length ?? 0)) left -= chunks[whole++]?.length ?? 0;
      if (whole > 0) chunks = chunks.slice(whole);
      readBytes = left;
      size -= dropped;
      offset += dropped;
      return dropped;
    },
  };
}

/** Views of a Buffer are Buffers, which cost several times as much to make. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}
