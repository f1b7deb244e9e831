/** The gossip keys of one fence: its key files, and the keyring that is made of them. */
import type { FenceConfig } from '../config/types.ts';
import { KeyFileError, openKeyFiles } from '../control/key-files.ts';
import { KEY_FILE_MAX_BYTES } from '../control/key-text.ts';
import { readSmallFile } from '../control/read-file.ts';
import type { Fault } from '../datapath/engine.ts';
import { createKeyring, type Keyring } from '../wire/encryption.ts';
import { CliError, EXIT, oneLine } from './exit.ts';

export interface GossipKeys {
  /** Undefined for a fence without key files. */
  keyring(): Keyring | undefined;
  /** The keys themselves, for the packet worker, which makes a ring of its own. Never log or show one. */
  keys(): readonly Uint8Array[];
  /** Why the files cannot be used as they are now, while the last good keys are in use; undefined when they can. */
  problem(): string | undefined;
  /** Looks for changes from now on; `onChange` is called after one was taken up. */
  watch(onChange: () => void): void;
  stop(): void;
}

const NO_KEYS: GossipKeys = {
  keyring: () => undefined,
  keys: () => [],
  problem: () => undefined,
  watch: () => undefined,
  stop: () => undefined,
};

/** Reads the key files that `config` names. Rejects with a CliError (exit code 78) that names a file which cannot be used. */
export async function openGossipKeys(
  { name, encryption: { keyFiles: files } }: FenceConfig,
  onFault: (fault: Fault) => void,
): Promise<GossipKeys> {
  if (files.length === 0) return NO_KEYS;
  let ring: Keyring | undefined;
  let changed = (): void => undefined;
  const keyFiles = await openKeyFiles({
    files,
    read: (file) => readSmallFile(file, KEY_FILE_MAX_BYTES),
    onKeys(keys) {
      ring = createKeyring(keys);
      onFault({ code: 'gossip_keys_changed', message: `the key files changed: ${keys.length} keys are in use now` });
      changed();
    },
    onProblem(why) {
      const message =
        why === undefined
          ? 'the key files can be read again'
          : `${why}; the keys that were read before stay in use until it can be read`;
      onFault({
        code: why === undefined ? 'gossip_keys_readable' : 'gossip_keys_unreadable',
        message: oneLine(message),
      });
    },
  }).catch((error: unknown) => {
    if (!(error instanceof KeyFileError)) throw error;
    throw new CliError(EXIT.config, [oneLine(`ringfence: fence ${name}: gossip keys: ${error.message}`)], {
      cause: error,
    });
  });
  ring = createKeyring(keyFiles.keys());
  return {
    keyring: () => ring,
    keys: keyFiles.keys,
    problem: keyFiles.problem,
    watch(onChange) {
      changed = onChange;
      keyFiles.start();
    },
    stop: keyFiles.stop,
  };
}
