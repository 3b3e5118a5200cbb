//! HPACK (RFC 7541) for tests: a complete decoder, and an encoder that only writes literals, so that a test controls every byte.

use std::collections::VecDeque;

/// A field as it is in a header block: bytes, nothing checked.
pub type Field = (Vec<u8>, Vec<u8>);

/// Writes fields as literals without indexing and without Huffman coding.
pub fn encode<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        literal(&mut out, name.as_ref(), value.as_ref());
    }
    out
}

/// One literal field without indexing.
pub fn literal(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(0);
    string(out, name);
    string(out, value);
}

/// One literal field that enters the peer's dynamic table, where it is index 62 until the next one comes.
pub fn indexed_literal(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(0x40);
    string(out, name);
    string(out, value);
}

/// A reference to a field of the tables.
pub fn reference(out: &mut Vec<u8>, index: usize) {
    integer(out, 0x80, 7, index);
}

/// A change of the size of the dynamic table.
pub fn table_size(out: &mut Vec<u8>, size: usize) {
    integer(out, 0x20, 5, size);
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    integer(out, 0, 7, bytes.len());
    out.extend_from_slice(bytes);
}

/// An integer with a prefix of `bits` bits (RFC 7541 section 5.1).
pub fn integer(out: &mut Vec<u8>, flags: u8, bits: u32, value: usize) {
    let most = (1usize << bits) - 1;
    if value < most {
        out.push(flags | value as u8);
        return;
    }
    out.push(flags | most as u8);
    let mut left = value - most;
    while left >= 128 {
        out.push((left % 128) as u8 | 0x80);
        left /= 128;
    }
    out.push(left as u8);
}

/// The reading side of one connection.
#[derive(Debug)]
pub struct Decoder {
    table: VecDeque<Field>,
    size: usize,
    limit: usize,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder { table: VecDeque::new(), size: 0, limit: 4096 }
    }
}

impl Decoder {
    /// Reads one whole header block.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(&mut self, block: &[u8]) -> Result<Vec<Field>, String> {
        let mut rest = block;
        let mut fields = Vec::new();
        while let Some(&first) = rest.first() {
            if first & 0x80 != 0 {
                let index = take_integer(&mut rest, 7)?;
                fields.push(self.lookup(index)?);
            } else if first & 0xc0 == 0x40 {
                let field = self.take_literal(&mut rest, 6)?;
                self.insert(field.clone());
                fields.push(field);
            } else if first & 0xe0 == 0x20 {
                self.limit = take_integer(&mut rest, 5)?;
                self.evict();
            } else {
                fields.push(self.take_literal(&mut rest, 4)?);
            }
        }
        Ok(fields)
    }

    fn take_literal(&self, rest: &mut &[u8], bits: u32) -> Result<Field, String> {
        let index = take_integer(rest, bits)?;
        let name = if index == 0 { take_string(rest)? } else { self.lookup(index)?.0 };
        Ok((name, take_string(rest)?))
    }

    fn lookup(&self, index: usize) -> Result<Field, String> {
        if let Some((name, value)) = index.checked_sub(1).and_then(|i| STATIC.get(i)) {
            return Ok((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        }
        let dynamic = index.checked_sub(STATIC.len() + 1).and_then(|i| self.table.get(i));
        dynamic.cloned().ok_or_else(|| format!("no field {index} in the tables"))
    }

    fn insert(&mut self, field: Field) {
        self.size += weight(&field);
        self.table.push_front(field);
        self.evict();
    }

    fn evict(&mut self) {
        while self.size > self.limit {
            let Some(oldest) = self.table.pop_back() else { return };
            self.size -= weight(&oldest);
        }
    }
}

/// What a field counts for (RFC 7541 section 4.1).
fn weight(field: &Field) -> usize {
    field.0.len() + field.1.len() + 32
}

fn take_integer(rest: &mut &[u8], bits: u32) -> Result<usize, String> {
    let most = (1usize << bits) - 1;
    let mut value = usize::from(take_byte(rest)?) & most;
    if value < most {
        return Ok(value);
    }
    for shift in (0..).step_by(7) {
        let byte = take_byte(rest)?;
        if shift > 28 {
            return Err("an integer without end".to_owned());
        }
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    Ok(value)
}

fn take_byte(rest: &mut &[u8]) -> Result<u8, String> {
    let (first, left) = rest.split_first().ok_or("a block cut short")?;
    *rest = left;
    Ok(*first)
}

fn take_string(rest: &mut &[u8]) -> Result<Vec<u8>, String> {
    let coded = rest.first().is_some_and(|b| b & 0x80 != 0);
    let length = take_integer(rest, 7)?;
    let (bytes, left) = rest.split_at_checked(length).ok_or("a string cut short")?;
    *rest = left;
    if coded { huffman(bytes) } else { Ok(bytes.to_vec()) }
}

/// The code is canonical: codes of one length follow each other in the order of their symbols, so the lengths say all
/// (RFC 7541 appendix B).
fn huffman(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let (mut code, mut length, mut first, mut passed) = (0usize, 0u8, 0usize, 0usize);
    let mut symbols: Vec<usize> = (0..LENGTHS.len()).collect();
    symbols.sort_by_key(|s| LENGTHS[*s]);
    for bit in bytes.iter().flat_map(|b| (0..8).rev().map(move |i| b >> i & 1)) {
        code = code << 1 | usize::from(bit);
        first <<= 1;
        length += 1;
        let count = LENGTHS.iter().filter(|l| **l == length).count();
        if code - first < count {
            let symbol = symbols[passed + code - first];
            out.push(u8::try_from(symbol).map_err(|_| "the end symbol inside a string")?);
            (code, length, first, passed) = (0, 0, 0, 0);
        } else {
            first += count;
            passed += count;
        }
        if length > 30 {
            return Err("no such Huffman code".to_owned());
        }
    }
    let padding = (1usize << length) - 1;
    if length > 7 || code != padding { Err("wrong padding".to_owned()) } else { Ok(out) }
}

#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        digits.chunks(2).map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap()).collect()
    }

    fn text(fields: &[Field]) -> Vec<(String, String)> {
        let one = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
        fields.iter().map(|(n, v)| (one(n), one(v))).collect()
    }

    /// RFC 7541 appendix C.4: three requests on one connection, Huffman coded.
    #[test]
    fn reads_the_requests_of_the_specification() {
        let mut decoder = Decoder::default();
        let first = decoder.decode(&hex("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff")).unwrap();
        assert_eq!(text(&first)[3], (":authority".to_owned(), "www.example.com".to_owned()));
        let second = decoder.decode(&hex("8286 84be 5886 a8eb 1064 9cbf")).unwrap();
        assert_eq!(text(&second)[4], ("cache-control".to_owned(), "no-cache".to_owned()));
        let third = decoder.decode(&hex("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf")).unwrap();
        assert_eq!(text(&third)[4], ("custom-key".to_owned(), "custom-value".to_owned()));
    }

    /// RFC 7541 appendix C.6, with a table of 256 bytes that evicts.
    #[test]
    fn reads_the_responses_of_the_specification() {
        let mut decoder = Decoder { limit: 256, ..Decoder::default() };
        let first = hex(
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        );
        let fields = text(&decoder.decode(&first).unwrap());
        assert_eq!(fields[0], (":status".to_owned(), "302".to_owned()));
        assert_eq!(fields[2], ("date".to_owned(), "Mon, 21 Oct 2013 20:13:21 GMT".to_owned()));
        let second = text(&decoder.decode(&hex("4883 640e ffc1 c0bf")).unwrap());
        assert_eq!(second[0], (":status".to_owned(), "307".to_owned()));
        assert_eq!(second[3], ("location".to_owned(), "https://www.example.com".to_owned()));
    }

    #[test]
    fn reads_what_it_writes() {
        let long = vec![b'x'; 5000];
        let mut block = encode(&[("Upper", "a"), ("empty", "")]);
        indexed_literal(&mut block, b"long", &long);
        table_size(&mut block, 0);
        let fields = Decoder::default().decode(&block).unwrap();
        assert_eq!(fields[0].0, b"Upper");
        assert_eq!(fields[2], (b"long".to_vec(), long));
        assert!(Decoder::default().decode(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
    }
}
