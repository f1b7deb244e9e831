/** What a fence is given to look below the label: its keys, quarantine, and the inspection that feeds its ring. */
import type { FenceConfig } from '../config/types.ts';
import { type KeyFiles, openKeyFiles } from '../control/key-files.ts';
import { KEY_FILE_MAX_BYTES } from '../control/key-text.ts';
import { readSmallFile } from '../control/read-file.ts';
import type { Fault } from '../datapath/engine.ts';
import { type Inside, type InsideRules, NO_INSIDE } from '../datapath/inside.ts';
import { createInspection, type Inspector } from '../datapath/inspection.ts';
import type { Pump } from '../datapath/inspection-pump.ts';
import type { InspectionSkipped } from '../datapath/inspection-queue.ts';
import { createRingLane, RING_BYTES } from '../datapath/inspection-ring.ts';
import type { InspectionRings } from '../datapath/options.ts';
import { createKeyring, type Keyring } from '../wire/encryption.ts';

export interface FenceInside {
  /** For the data path's context. */
  readonly inside: Inside;
  /** For the worker. */
  readonly rings: InspectionRings | undefined;
  rules(): InsideRules;
  /** Frames left out; undefined while inspection is off. */
  skipped(): InspectionSkipped | undefined;
  readonly encryption: EncryptionState;
  /** Keeps keys and rules current from now on; `onChange` says that workers should be told. */
  start(onChange: () => void): void;
  stop(): void;
}

/** What may be said of encryption: nothing of the keys. */
export interface EncryptionState {
  readonly reseal: boolean;
  /** How many keys are in use; 0: none are configured. */
  keys(): number;
  /** Why the key files cannot be read as they are now. */
  problem(): string | undefined;
}

export interface InsideOptions {
  readonly config: FenceConfig;
  readonly pump: Pump;
  readonly inspector: Inspector;
  onFault(fault: Fault): void;
}

/** Reads the key files once. Rejects with a KeyFileError when one cannot be used. */
export async function composeInside({ config, pump, inspector, onFault }: InsideOptions): Promise<FenceInside> {
  const { inspectBytesPerSecond, mode, encryption } = config;
  let keyring: Keyring | undefined;
  let changed = () => {};
  const takeKeys = (keys: readonly Uint8Array[]) => {
    keyring = keys.length === 0 ? undefined : createKeyring(keys);
  };
  const keyFiles = await openKeys(config, onFault, (keys) => {
    takeKeys(keys);
    changed();
  });
  takeKeys(keyFiles?.keys() ?? []);
  const inspects = inspectBytesPerSecond > 0;
  const rings = inspects && mode.kind === 'transparent' ? newRings() : undefined;
  const lanes = rings === undefined ? [] : [createRingLane(rings.own), createRingLane(rings.rejected)];
  const inspection = inspects
    ? createInspection({ bytesPerSecond: inspectBytesPerSecond, pump, inspector, lanes })
    : undefined;
  return {
    inside: {
      keyring: () => keyring,
      reseal: () => encryption.reseal,
      quarantine: () => undefined,
      packet: inspection?.packet ?? NO_INSIDE.packet,
      stream: inspection?.stream ?? NO_INSIDE.stream,
    },
    rings,
    rules: () => ({ keys: keyFiles?.keys() ?? [], reseal: encryption.reseal, quarantine: undefined }),
    skipped: () => inspection?.skipped(),
    encryption: {
      reseal: encryption.reseal,
      keys: () => keyring?.size ?? 0,
      problem: () => keyFiles?.problem(),
    },
    start(onChange) {
      changed = onChange;
      keyFiles?.start();
    },
    stop() {
      keyFiles?.stop();
      inspection?.stop();
    },
  };
}

function newRings(): InspectionRings {
  return { own: new SharedArrayBuffer(RING_BYTES), rejected: new SharedArrayBuffer(RING_BYTES) };
}

async function openKeys(
  { encryption: { keyFiles } }: FenceConfig,
  onFault: (fault: Fault) => void,
  onKeys: (keys: readonly Uint8Array[]) => void,
): Promise<KeyFiles | undefined> {
  if (keyFiles.length === 0) return undefined;
  return openKeyFiles({
    files: keyFiles,
    read: (file) => readSmallFile(file, KEY_FILE_MAX_BYTES),
    onKeys,
    onProblem(why) {
      const message = why === undefined ? 'the key files can be read again' : `the last good keys stay in use: ${why}`;
      onFault({ code: why === undefined ? 'key_files_readable' : 'key_files_unreadable', message });
    },
  });
}
