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
    const resolved = fences[i];
    const stage = resolved?.stage ?? resolved?.floor ?? 'observe';
    if (fence.stage === undefined || fence.stage === 'auto') noteStart(fence, file.stateFile, stage, note);
    noteTls(fence, has, note);
    noteInside(fence, stage, note);
    if (fence.encryption.reseal === 'on') noteReseal(fence, stage, note);
    noteAdmission(fence, stage, note);
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

/** Where a fence without an explicit stage starts. */
function noteStart(
  { stage }: FenceFile,
  stateFile: string,
  floor: string,
  note: (level: Note['level'], message: string) => void,
): void {
  const first = `${stateFile === '' ? '' : 'the state file, then '}the fences of the first peers`;
  const last = floor === 'accept' ? 'accept, because the app and the wire speak different dialects' : 'observe';
  const what = stage === 'auto' ? 'auto' : 'no stage is set';
  note('info', `${what}: ${first} say where it starts; without an answer at ${last}`);
}

/** Whom the admission rules let in without a label. */
function noteAdmission(
  { admit, stage: written }: FenceFile,
  stage: string,
  note: (level: Note['level'], message: string, ...path: Path) => void,
): void {
  const { cidrs, dns, names } = admit;
  if (cidrs.length + dns.length + names.length === 0) {
    if (stage === 'observe' && written !== 'auto') return;
    const until = stage === 'enforce' ? 'outbound frames to anyone' : 'unlabelled frames of anyone';
    const when = written === 'auto' ? 'from accept on' : `at stage ${stage}`;
    note('warn', `NO ADMISSION RULES ${when}: ${until} pass; name the members in admit.cidrs or admit.dns`, 'admit');
  } else if (cidrs.length + dns.length === 0) {
    note(
      'warn',
      'names alone admit every address whose members gossip does not know yet: add cidrs or dns',
      'admit',
      'names',
    );
  }
  if (cidrs.length > 0 && dns.length > 0) {
    note('info', 'an address is admitted by either: whoever is in the cidrs is, whatever DNS says', 'admit', 'dns');
  }
}

/** What looking inside can and cannot do with this fence's rules. */
function noteInside(
  { admit, limits, quarantine }: ConfigFile['fences'][number],
  stage: string,
  note: (level: Note['level'], message: string, ...path: Path) => void,
): void {
  if (admit.names.length > 0 && limits.inspectBytesPerSecond === 0) {
    note('warn', 'has no effect while no frame is looked into: no name is ever known', 'admit', 'names');
  }
  if (limits.inspectBytesPerSecond === 0) {
    note('warn', 'no frame is looked into: no members, no merge alarm', 'limits', 'inspectBytesPerSecond');
  }
  if (quarantine && admit.dns.length > 0) {
    note(
      'info',
      'strips nobody for an address: DNS lags behind the ring, so where it names members only names count',
      'quarantine',
    );
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
