/** The code of an error of OpenSSL as it was before its version 3.2: from there on alerts that TLS has from SSLv3 are called SSL/TLS_ALERT. */
export function withOlderAlert(code: string): string {
  return code.replace('_SSL/TLS_ALERT_', '_SSLV3_ALERT_')
}
