// The tests of bounds, holds, seals and waits of the portable path, over raw sockets in the engine's loop: the same files, nothing left out.
import t from 'tap';
import { runOverRaw } from './raw-kit.ts';

await runOverRaw(t, ['bounds', 'hold', 'sealed', 'seal-pairs', 'waiting', 'held-packets']);
