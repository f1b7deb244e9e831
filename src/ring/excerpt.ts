/** What a frame says, in one short line for people: its first messages, and how many more there are. Attacker-chosen text is escaped. */

import { formatEndpoint } from '../wire/address.ts';
import { escapeBytes, escapeText } from '../wire/escape.ts';
import type { Message } from '../wire/messages.ts';
import { NODE_STATE, type PushPullNode } from '../wire/push-pull.ts';
import { addressText } from './tuple.ts';

/** The longest excerpt, in characters, all of them printable ASCII. */
export const EXCERPT_MAX_CHARS = 200;

/** What the last part, ` | +N`, may take. */
const MORE_CHARS = 12;

/** What is shown of a name: tails tell pods apart, and 48 bytes hold most names whole. */
const NAME_BYTES = 48;

const STATE_NAMES = Object.keys(NODE_STATE);

/** Collects an excerpt; holds no more than what is shown. */
export class Excerpt {
  #text = '';
  #more = 0;

  /** Adds what the next message says; `describe` is asked only while there is room. */
  add(describe: () => string): void {
    if (this.#more > 0 || this.#text.length > EXCERPT_MAX_CHARS - 2 * MORE_CHARS) {
      this.#more++;
      return;
    }
    const room = EXCERPT_MAX_CHARS - MORE_CHARS - this.#text.length;
    const part = `${this.#text === '' ? '' : ' | '}${describe()}`;
    if (part.length <= room || this.#text === '') this.#text += part.slice(0, room);
    else this.#more++;
  }

  toString(): string {
    return this.#more === 0 ? this.#text : `${this.#text} | +${this.#more}`;
  }
}

/** A message of a packet or a stream. */
export function describeMessage(message: Message): string {
  switch (message.type) {
    case 'ping':
      return `ping ${shown(message.Node)}${message.SourceNode === '' ? '' : ` from ${shown(message.SourceNode)}`}`;
    case 'indirectPing':
      return `indirectPing ${shown(message.Node)} ${endpoint(message.Target, message.Port)}`;
    case 'alive':
      return `alive ${shown(message.Node)} ${endpoint(message.Addr, message.Port)} inc ${message.Incarnation}`;
    case 'suspect':
    case 'dead':
      return `${message.type} ${shown(message.Node)} inc ${message.Incarnation} from ${shown(message.From)}`;
    case 'user':
      return `user ${message.data.length} bytes`;
    case 'err':
      return `err ${shown(message.Error)}`;
    default:
      return `${message.type} ${message.SeqNo}`;
  }
}

/** A row of a push/pull. */
export function describeRow({ Name, Addr, Port, State, Incarnation }: PushPullNode): string {
  return `${STATE_NAMES[State] ?? `state ${State}`} ${shown(Name)} ${endpoint(Addr, Port)} inc ${Incarnation}`;
}

/** A dskit pair, by its key. */
export function describeKey(key: string): string {
  return `kv ${shown(key)}`;
}

/** The label of bytes that could not be read as a message: the first ones. */
export function describeBytes(bytes: Uint8Array): string {
  return `${bytes.length} bytes "${escapeBytes(bytes, 16)}"`;
}

function shown(text: string): string {
  return escapeText(text, NAME_BYTES);
}

function endpoint(address: Uint8Array, port: number): string {
  return formatEndpoint({ address: addressText(address), port });
}
