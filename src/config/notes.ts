/** What an operator should know about a file that is right: said by check-config and by run, and stopping nothing. */
import type { Path } from './locate.ts';
import type { ConfigFile, FenceFile } from './schema.ts';
import type { FenceConfig } from './types.ts';

export interface Note {
  readonly level: 'info' | 'warn';
  readonly path: Path;
  readonly message: string;
}

/** Shorter ones are guessable over the network. */
const TOKEN_MIN_CHARACTERS = 16;

/** Whether `path` is written in the file, default or not. */
function isSet(raw: unknown, path: Path): boolean {
  let node = raw;
  for (const part of path) {
    if (node === null || typeof node !== 'object' || !Object.hasOwn(node, part)) return false;
    node = (node as Record<string | number, unknown>)[part];
  }
  return true;
}

/** Notes on `file`; `raw` is the same file before defaults, `fences` what it became. */
export function findNotes(file: ConfigFile, raw: unknown, fences: readonly FenceConfig[]): Note[] {
  const notes: Note[] = [];
  file.fences.forEach((fence, i) => {
    const note = (level: Note['level'], message: string, ...path: Path) =>
      notes.push({ level, path: ['fences', i, ...path], message });
    const has = (...path: Path) => isSet(raw, ['fences', i, ...path]);
    const stage = fences[i]?.stage ?? 'observe';
    if (fence.stage === undefined) noteStart(stage, note);
    noteTls(fence, has, note);
    noteInside(fence, stage, note);
    if (fence.encryption.reseal === 'on') noteReseal(fence, stage, note);
    if (fence.admit.cidrs.length === 0 && stage !== 'observe') {
      const until = stage === 'enforce' ? 'outbound frames to anyone' : 'unlabelled frames of anyone';
      note('warn', `NO ADMISSION RULES at stage ${stage}: ${until} pass; name the members in admit.cidrs`, 'admit');
    }
    if (fence.listen !== undefined && fence.app.sends === 'own' && fence.wire === 'none' && stage === 'accept') {
      note(
        'warn',
        'a listen fence does not see what the app dials: the app (sends own) puts its label on the wire at accept too, and members that predate labels drop it',
        'wire',
      );
    }
    if (fence.transparent?.whenDown === 'open') {
      note('warn', 'gossip passes UNFENCED while this fence is down', 'transparent', 'whenDown');
    }
  });
  const { writeToken } = file.admin;
  if (writeToken !== '' && writeToken.length < TOKEN_MIN_CHARACTERS) {
    notes.push({
      level: 'warn',
      path: ['admin', 'writeToken'],
      message: `is shorter than ${TOKEN_MIN_CHARACTERS} characters`,
    });
  }
  return notes;
}

function noteTls(
  { app, tls }: FenceFile,
  has: (...path: Path) => boolean,
  note: (level: Note['level'], message: string, ...path: Path) => void,
): void {
  if (!app.transport.endsWith('-tls')) {
    for (const key of ['clientAuth', 'verifyServer'] as const) {
      if (has('tls', key)) note('warn', `has no effect: app.transport ${app.transport} opens no TLS`, 'tls', key);
    }
    return;
  }
  if (!tls.clientAuth) {
    note(
      'warn',
      "anyone may open TLS to this fence, and speak to the app with the fence's certificate",
      'tls',
      'clientAuth',
    );
  }
  if (tls.verifyServer === 'none') {
    note('warn', 'no certificate of a member that the fence dials is verified', 'tls', 'verifyServer');
  }
}

function noteStart(stage: string, note: (level: Note['level'], message: string) => void): void {
  if (stage === 'accept') {
    note(
      'info',
      'starts at accept, because the app and the wire speak different dialects, which observe does not translate',
    );
  } else note('info', `starts at ${stage}, because no stage is set`);
}

/** What looking inside can and cannot do with this fence's rules. */
function noteInside(
  { admit, limits, quarantine }: ConfigFile['fences'][number],
  stage: string,
  note: (level: Note['level'], message: string, ...path: Path) => void,
): void {
  if (admit.names.length > 0) {
    const admits = 'names are for warnings and quarantine; they admit no unlabelled frame: cidrs do';
    note(admit.cidrs.length === 0 ? 'warn' : 'info', admits, 'admit', 'names');
  }
  if (limits.inspectBytesPerSecond === 0) {
    note('warn', 'no frame is looked into: no members, no merge alarm', 'limits', 'inspectBytesPerSecond');
  }
  if (quarantine && stage === 'observe') note('warn', 'has no effect at observe, which changes nothing', 'quarantine');
}

/** Where sealing anew helps, and where it does harm. */
function noteReseal(
  { listen }: FenceFile,
  stage: string,
  note: (level: Note['level'], message: string, ...path: Path) => void,
): void {
  const say = (level: Note['level'], message: string) => note(level, message, 'encryption', 'reseal');
  say(
    'info',
    'is safe once every fence of the ring has the keys: one without them would hand its app frames that the app cannot open',
  );
  if (stage === 'observe') say('warn', 'has no effect at observe, which changes nothing');
  if (listen !== undefined) {
    say('warn', 'a listen fence does not see what the app dials: only its answers are sealed anew');
  }
}
