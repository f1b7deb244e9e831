/** The part of the configuration that is about TLS. */
import * as z from 'zod';

export const tls = z
  .strictObject({
    certFile: z
      .string()
      .default('')
      .describe(
        'PEM certificate of the fence, with intermediate ones, which peers and the app see in place of each other: it must carry the names that members verify. Read again when it changes, like the other two.',
      ),
    keyFile: z.string().default('').describe('PEM private key of the certificate, without a passphrase.'),
    caFile: z
      .string()
      .default('')
      .describe("PEM certificates of the CA that members' certificates are verified against."),
    clientAuth: z
      .boolean()
      .default(true)
      .describe(
        "Demand a certificate of the CA from everyone who opens a connection: of peers, and of the app, so that nothing else in its network namespace can speak with the fence's certificate.",
      ),
    verifyServer: z
      .enum(['name', 'chain', 'none'])
      .default('name')
      .describe(
        "What is verified of the certificate of a member that the fence dials: chain and name, the chain alone, or nothing (Go's insecure_skip_verify).",
      ),
    serverName: z
      .string()
      .max(253)
      .regex(/^([A-Za-z0-9_*-]+(\.[A-Za-z0-9_-]+)*)?$/, { error: 'must be a DNS name' })
      .default('')
      .describe(
        "The name that every member's certificate carries (tls_server_name). Empty: towards a peer, the name that the app asked for, or else the peer's address; of the app, the chain alone.",
      ),
    unterminated: z
      .enum(['reject', 'pass'])
      .default('reject')
      .describe(
        'What a TLS connection, whose label cannot be read, meets from accept on; pass still asks for admission.',
      ),
  })
  .prefault({})
  .describe(
    'TLS around the gossip of a TLS transport: the fence is the server of whoever dials and the client of the other side.',
  );
