// The stream tests of the portable path, over raw sockets in the engine's loop: the same files, nothing left out.
import t from 'tap';
import { runOverRaw } from './raw-kit.ts';

await runOverRaw(t, ['streams', 'relay', 'stalled', 'neutral', 'garbage', 'inside-streams', 'by-chance']);
