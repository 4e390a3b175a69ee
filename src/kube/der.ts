/** Writes the few ASN.1 types that a certificate request is made of, in DER. @see ITU-T X.690 */
export const der = {
  sequence: (...items: readonly Uint8Array[]): Buffer => tlv(0x30, ...items),
  set: (...items: readonly Uint8Array[]): Buffer => tlv(0x31, ...items),
  /** A whole number below 128. */
  smallInteger: (value: number): Buffer => tlv(0x02, Buffer.from([value])),
  utf8: (text: string): Buffer => tlv(0x0c, Buffer.from(text)),
  octets: (content: Uint8Array): Buffer => tlv(0x04, content),
  /** A bit string of whole bytes. */
  bits: (content: Uint8Array): Buffer => tlv(0x03, Buffer.from([0]), content),
  /** `[number]`, constructed or primitive. */
  context: (number: number, constructed: boolean, ...items: readonly Uint8Array[]): Buffer =>
    tlv(0x80 | (constructed ? 0x20 : 0) | number, ...items),
  oid(text: string): Buffer {
    const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
    return tlv(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
  },
};

function tlv(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content);
  if (body.length < 0x80) return Buffer.concat([Buffer.from([tag, body.length]), body]);
  const length: number[] = [];
  for (let rest = body.length; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256);
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length, ...length]), body]);
}

function base128(value: number): number[] {
  const bytes = [value % 128];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) bytes.unshift((rest % 128) | 0x80);
  return bytes;
}
