//! Bytes that nobody should send: small changes of what is right.
//!
//! The same for everybody and always, so that a number names a case.

/// Numbered variants of a text: bytes changed, left out, repeated, inserted, cut off, and moved.
pub fn variants(seed: &[u8], count: u64) -> impl Iterator<Item = (u64, Vec<u8>)> {
    let seed = seed.to_vec();
    (0..count).map(move |number| (number, variant(&seed, number)))
}

/// What parsers trip over more often than over random bytes.
const AWKWARD: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b";",
    b"=",
    b"|",
    b"\n",
    b"\r\n",
    b"\0",
    b"\t",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\\u0000",
    b"\\ud800",
    b"1e999",
    b"-0",
    b"9223372036854775808",
    b"null",
    b"true",
    b"&a",
    b"*a",
    b"<<",
    b"!!",
    b"%00",
    b"://",
    b"@",
    b"#",
    b"  ",
    b"~",
];

fn variant(seed: &[u8], number: u64) -> Vec<u8> {
    let mut dice = Dice(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut bytes = seed.to_vec();
    for _ in 0..=dice.below(4) {
        change(&mut bytes, &mut dice);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    let end = (at + 1 + dice.below(16)).min(bytes.len());
    let part = bytes.get(at..end).unwrap_or_default().to_vec();
    match dice.below(7) {
        0 => drop(bytes.splice(at..end, [])),
        1 => drop(bytes.splice(at..at, part)),
        2 => bytes.truncate(at),
        3 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
        4 => {
            let to = dice.below(bytes.len() + 1 - part.len());
            bytes.drain(at..at + part.len());
            drop(bytes.splice(to..to, part));
        }
        5 => {
            // Deep, or long: whatever stands here, many times.
            let many = part.repeat(1 + dice.below(300));
            drop(bytes.splice(at..end, many));
        }
        _ => {
            let awkward = AWKWARD[dice.below(AWKWARD.len())];
            drop(bytes.splice(at..at, awkward.iter().copied()));
        }
    }
}

/// Xorshift: no more is needed to vary bytes.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).expect("below a usize")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_names_a_case_and_most_cases_differ() {
        let all: Vec<_> = variants(b"{\"a\":[1,2]}", 500).collect();
        let again: Vec<_> = variants(b"{\"a\":[1,2]}", 500).collect();
        assert_eq!(all, again);
        let distinct: std::collections::BTreeSet<_> = all.iter().map(|it| &it.1).collect();
        assert!(distinct.len() > 400, "{}", distinct.len());
        assert!(variants(b"", 100).count() == 100);
    }
}
