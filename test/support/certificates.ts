import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generate } from 'selfsigned'

/** A certificate and its key: PEM files. */
export interface TestCertificate {
  readonly cert: string
  readonly key: string
}

/** An authority of a test's own, which signs certificates into files. */
export class TestAuthority {
  readonly dir: string
  /** PEM file of the authority's own certificate. */
  readonly caFile: string
  readonly #ca: { readonly key: string; readonly cert: string }

  private constructor(dir: string, ca: { key: string; cert: string }) {
    this.dir = dir
    this.#ca = ca
    this.caFile = join(dir, 'ca.crt')
    writeFileSync(this.caFile, ca.cert)
  }

  static async create(name = 'Test Authority'): Promise<TestAuthority> {
    const { private: key, cert } = await generate([{ name: 'commonName', value: name }], {
      ...COMMON,
      extensions: [
        { name: 'basicConstraints', cA: true, critical: true },
        { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
      ],
    })
    return new TestAuthority(mkdtempSync(join(tmpdir(), 'understudy-test-tls-')), { key, cert })
  }

  /** Signs a certificate for `names` and 127.0.0.1, good for servers and clients, into files called `file`; again: renews it in place. */
  async issue(
    file: string,
    names: readonly string[] = ['localhost'],
    lifetime: { notBeforeDate?: Date; notAfterDate?: Date } = {},
  ): Promise<TestCertificate> {
    const { private: key, cert } = await generate([{ name: 'commonName', value: file }], {
      ...COMMON,
      ...lifetime,
      ca: this.#ca,
      extensions: [
        { name: 'basicConstraints', cA: false },
        { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
        {
          name: 'subjectAltName',
          altNames: [...names.map((value) => ({ type: 2, value }) as const), { type: 7, ip: '127.0.0.1' }],
        },
      ],
    })
    const files = { cert: join(this.dir, `${file}.crt`), key: join(this.dir, `${file}.key`) }
    writeFileSync(files.key, key)
    writeFileSync(files.cert, cert)
    return files
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true })
  }
}

const COMMON = { keyType: 'ec', algorithm: 'sha256' } as const
