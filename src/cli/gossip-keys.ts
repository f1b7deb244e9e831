/** The gossip keys of a fence while it runs: read from its files, and read again when they change. */
import { openKeyFiles } from '../control/key-files.ts';
import { KEY_FILE_MAX_BYTES } from '../control/key-text.ts';
import { readSmallFile } from '../control/read-file.ts';
import type { Fault } from '../datapath/engine.ts';
import { createKeyring, type Keyring } from '../wire/encryption.ts';

export interface GossipKeys {
  keyring(): Keyring | undefined;
  /** The keys themselves, for a worker. Never log or show one. */
  bytes(): readonly Uint8Array[];
  /** Why the files cannot be read as they are now. */
  problem(): string | undefined;
  /** Looks for changes from now on. */
  start(onChange: () => void): void;
  stop(): void;
}

const NO_KEYS: GossipKeys = {
  keyring: () => undefined,
  bytes: () => [],
  problem: () => undefined,
  start: () => undefined,
  stop: () => undefined,
};

/** Reads `files` once; none: no keys. Rejects with a KeyFileError when one cannot be used. */
export async function openGossipKeys(files: readonly string[], onFault: (fault: Fault) => void): Promise<GossipKeys> {
  if (files.length === 0) return NO_KEYS;
  let changed = () => {};
  const keyFiles = await openKeyFiles({
    files,
    read: (file) => readSmallFile(file, KEY_FILE_MAX_BYTES),
    onKeys(keys) {
      keyring = createKeyring(keys);
      // The worker is told before the log: whoever reads the line may go on with the rotation.
      changed();
      onFault({ code: 'gossip_keys_changed', message: `the gossip keys changed: ${keys.length} are in use` });
    },
    onProblem(why) {
      const message = why === undefined ? 'the key files can be read again' : `the last good keys stay in use: ${why}`;
      onFault({ code: why === undefined ? 'key_files_readable' : 'key_files_unreadable', message });
    },
  });
  let keyring = createKeyring(keyFiles.keys());
  return {
    keyring: () => keyring,
    bytes: () => keyFiles.keys(),
    problem: () => keyFiles.problem(),
    start(onChange) {
      changed = onChange;
      keyFiles.start();
    },
    stop: () => keyFiles.stop(),
  };
}
