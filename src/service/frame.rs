//! Where the messages of a gRPC stream end.

/// Length of what stands before a message: a flag and a big-endian length of 32 bits.
const PREFIX_BYTES: usize = 5;

/// Follows the length-prefixed messages of a stream without looking into them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frames {
    /// The part of a prefix that has arrived.
    prefix: [u8; PREFIX_BYTES],
    prefix_bytes: usize,
    /// Bytes of the message that have not arrived; 0 between messages.
    missing: usize,
    /// Bytes of the message that have arrived, its prefix included.
    arrived: u64,
}

impl Frames {
    /// Takes the next bytes of the stream. Returns how many bytes of an incomplete message wait.
    pub(super) fn advance(&mut self, mut chunk: &[u8]) -> u64 {
        while !chunk.is_empty() {
            if self.missing == 0 && self.prefix_bytes < PREFIX_BYTES {
                chunk = self.take_prefix(chunk);
                continue;
            }
            let taken = self.missing.min(chunk.len());
            self.missing -= taken;
            self.arrived += u64::try_from(taken).expect("a length fits 64 bits");
            chunk = chunk.get(taken..).unwrap_or_default();
            if self.missing == 0 {
                *self = Self::default();
            }
        }
        self.arrived
    }

    /// Takes one byte of a prefix and returns what follows it.
    fn take_prefix<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        let Some((first, rest)) = chunk.split_first() else { return chunk };
        if let Some(slot) = self.prefix.get_mut(self.prefix_bytes) {
            *slot = *first;
        }
        self.prefix_bytes += 1;
        self.arrived += 1;
        if self.prefix_bytes == PREFIX_BYTES {
            let [_, length @ ..] = self.prefix;
            self.missing =
                usize::try_from(u32::from_be_bytes(length)).expect("32 bits fit an address");
            if self.missing == 0 {
                *self = Self::default();
            }
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_incomplete_message_waits_however_the_bytes_are_cut() {
        // Messages of 0, 3 and 1 bytes, then 2 of 4 bytes.
        let stream = b"\0\0\0\0\0\0\0\0\0\x03abc\0\0\0\0\x01d\0\0\0\0\x04ef";
        for cut in 1..stream.len() {
            let mut frames = Frames::default();
            let waiting = stream.chunks(cut).map(|chunk| frames.advance(chunk)).last();
            assert_eq!(waiting, Some(7), "cut into {cut}");
            assert_eq!(frames.advance(b"gh"), 0);
        }
    }
}
