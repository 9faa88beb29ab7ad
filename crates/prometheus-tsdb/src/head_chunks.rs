//! `chunks_head/`: chunks of the head that were full, with the numbers that the log gave their series.
//! Format: `tsdb/docs/format/head_chunks.md`.

use crate::bytes::{Bytes, Wrong};
use crate::chunk;
use model::Columns;

const MAGIC: u32 = 0x0130_bc91;
const HEAD: usize = 8;
/// Marks a chunk of late samples in its encoding.
const LATE: u8 = 0x80;

/// A chunk of the head.
#[derive(Debug)]
pub struct HeadChunk {
    /// The number of its series in the log.
    pub series: u64,
    /// Whether its samples came late.
    pub late: bool,
    /// Its samples.
    pub columns: Columns,
}

/// Calls `see` with each chunk of a file, and `wrong` with every place that cannot be read and why.
pub fn read_head_chunks(
    file: &[u8],
    see: &mut dyn FnMut(HeadChunk),
    wrong: &mut dyn FnMut(usize, &str),
) {
    let mut bytes = Bytes(file);
    match (bytes.be32(), bytes.byte()) {
        (Ok(MAGIC), Ok(1)) => {}
        // A file is allocated before it is written.
        _ if file.iter().all(|b| *b == 0) => return,
        (Ok(MAGIC), _) => return wrong(4, "a version of head chunks that nobody knows"),
        _ => return wrong(0, "no head chunks begin here"),
    }
    let mut at = HEAD;
    while at < file.len() {
        match read_chunk(file, at) {
            Ok(None) => return,
            Ok(Some((end, chunk))) => {
                match chunk {
                    Ok(chunk) => see(chunk),
                    Err(what) => wrong(at, what),
                }
                at = end;
            }
            // Where the next one begins nobody knows.
            Err(what) => return wrong(at, what),
        }
    }
}

type Found = (usize, Result<HeadChunk, Wrong>);

/// The chunk at an offset, and where it ends; `None` where only what was allocated follows.
fn read_chunk(file: &[u8], at: usize) -> Result<Option<Found>, Wrong> {
    let mut bytes = Bytes::at(file, at)?;
    if bytes.0.iter().take(24).all(|b| *b == 0) {
        return Ok(None);
    }
    let series = bytes.be64()?;
    let _extent = (bytes.be64()?, bytes.be64()?);
    let encoding = bytes.byte()?;
    let length = bytes.count()?;
    let data = bytes.take(length)?;
    let content = &file[at..file.len() - bytes.0.len()];
    let checksum = bytes.be32()?;
    let end = file.len() - bytes.0.len();
    if checksum != crc32c::crc32c(content) {
        return Ok(Some((end, Err("the checksum of a chunk is wrong"))));
    }
    let mut columns = Columns::default();
    let decoded = chunk::decode(encoding & !LATE, data, &mut columns);
    let chunk = decoded.map(|()| HeadChunk { series, late: encoding & LATE != 0, columns });
    Ok(Some((end, chunk)))
}
