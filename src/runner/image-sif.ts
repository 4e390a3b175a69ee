import { type FileHandle, open } from 'node:fs/promises';
import { InterlinkError } from '../base/errors.ts';

/** What is needed of a SIF file. */
export interface SifImage {
  /** Where the root file system starts in the file, in bytes; it is a squashfs. */
  readonly offset: number;
  /** The OCI configuration that came with the image, as JSON text; images that were not made from a registry have none. */
  readonly ociConfig?: string;
}

const HEADER = 128;
const MAGIC = Buffer.from('SIF_MAGIC\0');
const DESCRIPTOR = 585;
const MAX_DESCRIPTORS = 4096;
const MAX_CONFIG = 4 * 1024 * 1024;

const PARTITION = 0x4004;
const GENERIC_JSON = 0x4006;
const SQUASHFS = 1;
const PRIMARY_SYSTEM = 2;
const FILE_SYSTEMS: Readonly<Record<number, string>> = { 2: 'ext3', 3: 'raw', 4: 'encrypted squashfs' };

/**
 * Reads where things are in a SIF file.
 * @throws Invalid with code `ImageInspectError` when the file is none, is cut off or holds a root file system of another kind.
 * @see https://github.com/sylabs/sif (pkg/sif/sif.go: the header and the descriptors, packed, little-endian)
 */
export async function readSif(path: string): Promise<SifImage> {
  const fault = (why: string): InterlinkError =>
    new InterlinkError('Invalid', `${path}: ${why}`, { code: 'ImageInspectError' });
  const file = await open(path, 'r');
  try {
    const header = await readExactly(file, 0, HEADER);
    if (!header?.subarray(32, 32 + MAGIC.length).equals(MAGIC)) throw fault('not a SIF image');
    const total = Number(header.readBigInt64LE(88));
    if (total < 0 || total > MAX_DESCRIPTORS) throw fault(`a SIF image with ${total} descriptors`);
    const table = await readExactly(file, Number(header.readBigInt64LE(96)), total * DESCRIPTOR);
    if (!table) throw fault('the SIF image is cut off in its descriptors');
    const descriptors = Array.from({ length: total }, (_, index) => parse(table.subarray(index * DESCRIPTOR))).filter(
      ({ used }) => used,
    );
    const root = descriptors.find(({ type, partitionType }) => type === PARTITION && partitionType === PRIMARY_SYSTEM);
    if (!root) throw fault('the SIF image has no primary partition');
    if (root.fileSystem !== SQUASHFS)
      throw fault(
        `the root file system is ${FILE_SYSTEMS[root.fileSystem] ?? `of kind ${root.fileSystem}`}; build the image as squashfs`,
      );
    const { size } = await file.stat();
    if (root.offset + root.size > size)
      throw fault(`the SIF image is cut off: ${size} of ${root.offset + root.size} bytes`);
    const config = descriptors.find(({ type, name }) => type === GENERIC_JSON && name === 'oci-config.json');
    if (!config) return { offset: root.offset };
    const text = config.size > MAX_CONFIG ? undefined : await readExactly(file, config.offset, config.size);
    if (!text) throw fault('the OCI configuration in the SIF image is cut off or too large');
    return { offset: root.offset, ociConfig: text.toString('utf8') };
  } finally {
    await file.close();
  }
}

function parse(bytes: Buffer): {
  type: number;
  used: boolean;
  offset: number;
  size: number;
  name: string;
  fileSystem: number;
  partitionType: number;
} {
  const name = bytes.subarray(73, 201);
  const end = name.indexOf(0);
  return {
    type: bytes.readInt32LE(0),
    used: bytes.readUInt8(4) !== 0,
    offset: Number(bytes.readBigInt64LE(17)),
    size: Number(bytes.readBigInt64LE(25)),
    name: name.subarray(0, end < 0 ? name.length : end).toString('utf8'),
    fileSystem: bytes.readInt32LE(201),
    partitionType: bytes.readInt32LE(205),
  };
}

async function readExactly(file: FileHandle, position: number, length: number): Promise<Buffer | undefined> {
  if (position < 0 || length < 0) return undefined;
  const buffer = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(buffer, done, length - done, position + done);
    if (bytesRead === 0) return undefined;
    done += bytesRead;
  }
  return buffer;
}
