/**
 * The one schema of the configuration: names, defaults, bounds and the documentation of every field, from which the JSON Schema is
 * made. What one field alone cannot tell (either listen or transparent, dialects and stages) is in rules.ts.
 */
import * as z from 'zod';
import { DIALECTS, STAGES, TAKES } from '../policy/stage.ts';
import { cidr, cluster, count, dnsName, duration, endpoint, namePattern, port } from './fields.ts';
import { limits } from './limits-schema.ts';
import { tls } from './tls-schema.ts';

/** Fences of one process: every one has sockets, a peer table and metric series of its own. */
export const FENCES_MAX = 128;

/** Admission rules of one fence. */
const CIDRS_MAX = 4_096;

const HOUR_MS = 3_600_000;

const transparent = z
  .strictObject({
    port: port('The gossip port, on either side.').default(7946),
    peerPorts: z
      .array(port('A gossip port.'))
      .max(16)
      .default([])
      .describe('Further gossip ports that peers listen on, outbound, UDP and TCP.'),
    proxyPort: port('The port that the rules of `ringfence intercept` redirect to; any free one.').default(17946),
    uid: z
      .int()
      .min(1)
      .max(2 ** 32 - 2)
      .default(7946)
      .describe(
        'The user id that the fence runs under: the rules let its own traffic through. Not 0, and not 1337, which is Istio.',
      ),
    tcpSource: z
      .enum(['peer', 'pod'])
      .default('peer')
      .describe("Which source address the app sees on TCP: the peer's own, or the pod's."),
    whenDown: z
      .enum(['closed', 'open'])
      .default('closed')
      .describe('What becomes of gossip while the fence is down: dropped and counted, or let through unfenced.'),
  })
  .describe('Guard an untouched app in its own network namespace (Linux). Either this or `listen`.');

const app = z
  .strictObject({
    address: z
      .union([z.literal(''), endpoint(1)], {
        error: 'must be an IP address and a port, such as 127.0.0.1:7947 or [::1]:7947',
      })
      .default('')
      .describe('Where the app listens, as address:port; for `listen`.'),
    sends: z.enum(DIALECTS).default('none').describe('Whether the frames that the app sends carry the own label.'),
    takes: z
      .enum(TAKES)
      .default('none')
      .describe('Which frames the app takes: unlabelled ones (a label is stripped), own ones (it is added), or any.'),
    transport: z
      .enum(['auto', 'native', 'dskit', 'dskit-tls', 'alertmanager-tls'])
      .default('auto')
      .describe(
        'The gossip transport. auto tells native and dskit apart by the first byte and opens no TLS; dskit-tls and alertmanager-tls open it with the certificates under tls.',
      ),
  })
  .prefault({})
  .describe('What the app speaks.');

const admit = z
  .strictObject({
    cidrs: z
      .array(cidr)
      .max(CIDRS_MAX)
      .default([])
      .describe('Networks and addresses whose unlabelled frames are members.'),
    dns: z
      .array(dnsName)
      .max(64)
      .default([])
      .describe(
        'Names whose addresses are members: A and AAAA, or SRV for a name such as _memberlist._tcp.gossip-ring.traces.svc.cluster.local. They are resolved again on a fixed refresh, and at once for an unknown peer.',
      ),
    names: z
      .array(namePattern)
      .max(64)
      .default([])
      .describe(
        'Patterns of node names (* and ?) that members have. Once gossip names the members at an address and none of their names fits, its unlabelled frames are not admitted; such members are a merge warning, and quarantined if that is on.',
      ),
    grace: duration(
      '60s',
      0,
      24 * HOUR_MS,
      'How long an address stays admitted after it left DNS (a leaving member is still to be heard), and how long a member may be outside the rules, or a ring instance without a member, before it is a merge warning',
    ),
  })
  .prefault({})
  .describe('Who an unlabelled peer is. Without rules everyone is admitted.');

const fence = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, {
        error:
          'a fence name has 1 to 63 lower-case letters, digits and dashes, and neither starts nor ends with a dash',
      })
      .describe('The name of this fence in metrics, logs and commands.'),
    cluster,
    stage: z
      .enum([...STAGES, 'auto'])
      .optional()
      .describe(
        'The step of adoption; auto climbs by itself, one step at a time, when the next one is safe. Without one: the state file, then what the fences of the first peers report, then observe, or accept where the app and the wire speak different dialects.',
      ),
    wire: z.enum(DIALECTS).default('none').describe("What the ring's unfenced members put on the wire today."),
    transparent: transparent.optional(),
    listen: endpoint(1)
      .optional()
      .describe(
        'Guard inbound gossip as an unprivileged proxy: the address:port that the app advertises. Either this or `transparent`.',
      ),
    engine: z
      .enum(['auto', 'linux', 'portable'])
      .default('auto')
      .describe(
        "What carries the traffic: linux, system calls in a thread of its own; portable, node's sockets; auto, linux where it can run (Linux on x64 or arm64, with the optional package koffi), else portable. linux refuses to start where it cannot run; a transparent fence has no portable engine.",
      ),
    local: z
      .strictObject({ cidrs: z.array(z.string()).max(CIDRS_MAX).default([]), file: z.string().default('') })
      .prefault({})
      .describe('Which local addresses a gateway guards; not in this version.'),
    app,
    admit,
    rejectStreams: z
      .enum(['explain', 'reset', 'silent'])
      .default('explain')
      .describe(
        "How a native stream is rejected: with memberlist's own error frame, a reset, or a close without a word.",
      ),
    shield: z
      .boolean()
      .default(true)
      .describe('From accept on, reject frames that are known to crash or exhaust receivers.'),
    quarantine: z
      .boolean()
      .default(false)
      .describe(
        'Strip foreign members from the gossip that passes, from accept on, so that a merged ring heals; needs inspection.',
      ),
    encryption: z
      .strictObject({
        keyFiles: z
          .array(z.string().min(1))
          .max(16)
          .default([])
          .describe(
            "Files with the ring's gossip keys, read again when they change: base64 of 16, 24 or 32 bytes one a line, a keyring file of serf, Consul or Nomad, or one raw key. The first key of the first file is the primary one.",
          ),
        reseal: z
          .enum(['off', 'on'])
          .default('off')
          .describe(
            'Seal outbound frames as a native member would, with the label in the associated data, so that members that predate labels and native ones share an encrypted ring. Turn it on once every fence has the keys.',
          ),
      })
      .prefault({})
      .describe('Gossip encryption, opened with keys. Without keys the label header alone decides.'),
    tls,
    memory: z
      .strictObject({
        window: duration('10m', 1_000, 24 * HOUR_MS, 'How long a peer counts as proven after an own-labelled frame'),
        peers: count(10_000, 100_000, 'Peers that are remembered.'),
      })
      .prefault({})
      .describe('The memory of peers.'),
    limits,
  })
  .describe('One fence guards one app for one cluster label.');

/** The whole file. */
export const configSchema = z
  .strictObject({
    fences: z.array(fence).min(1).max(FENCES_MAX).describe('The fences of this process.'),
    admin: z
      .strictObject({
        address: endpoint(0)
          .default('0.0.0.0:9746')
          .describe(
            'Where the admin API and the metrics listen, as address:port; port 0 takes a free one and logs it.',
          ),
        writeToken: z
          .string()
          .max(512)
          .regex(/^[\x21-\x7e]*$/, { error: 'must be printable ASCII without spaces, so that it fits an HTTP header' })
          .default('')
          .describe('Bearer token that may change a stage from elsewhere than loopback. Reading is open.'),
      })
      .prefault({})
      .describe('The admin API.'),
    stateFile: z
      .string()
      .default('')
      .describe(
        'Where the stage of every fence is kept over restarts, for fences without an explicit one; empty: nowhere.',
      ),
    log: z
      .strictObject({
        level: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('The least level that is logged.'),
        format: z.enum(['json', 'text']).default('json').describe('JSON lines, or text for people.'),
      })
      .prefault({})
      .describe('The log, on standard output.'),
  })
  .describe('Configuration of ringfence.');

/** The file as read: defaults filled in, durations in ms. */
export type ConfigFile = z.output<typeof configSchema>;
export type FenceFile = ConfigFile['fences'][number];

/** The JSON Schema of the file as people write it. */
export function configJsonSchema(): object {
  return z.toJSONSchema(configSchema, { io: 'input' });
}
