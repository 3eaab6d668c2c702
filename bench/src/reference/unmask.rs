//! What a WebSocket client sends becomes in place what a server sends: the mask is undone, and each frame
//! moves down by the four bytes that the mask took in its head.
//!
//! ```text
//!   came      head mask payload | head mask pay…
//!   becomes   head payload head pay…              a frame goes on before its end is there
//! ```

/// What one connection remembers between two reads.
#[derive(Debug, Default)]
pub(super) struct Unmask {
    /// Bytes of the present frame that are still to come.
    left: u64,
    /// Turned so that it begins with the next byte.
    mask: [u8; 4],
    /// A head that was cut.
    cut: [u8; MAX_HEAD],
    cut_len: usize,
}

/// A client that does not mask.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unmasked;

impl Unmask {
    /// Puts the head that was cut last time where the next bytes will follow it; tells its length.
    pub(super) fn resume(&self, bytes: &mut [u8]) -> usize {
        bytes[..self.cut_len].copy_from_slice(&self.cut[..self.cut_len]);
        self.cut_len
    }

    /// Changes what came, and tells how many bytes now stand at the front.
    pub(super) fn run(&mut self, bytes: &mut [u8]) -> Result<usize, Unmasked> {
        // made <= read <= bytes.len()
        let (mut read, mut made) = (0, 0);
        self.cut_len = 0;
        while read < bytes.len() {
            if self.left > 0 {
                let there = bytes.len() - read;
                let len = usize::try_from(self.left).map_or(there, |left| left.min(there));
                move_down(bytes, read, made, len, self.mask);
                self.mask.rotate_left(len % 4);
                self.left -= len as u64;
                read += len;
                made += len;
                continue;
            }
            let Some((len, size)) = head(&bytes[read..])? else {
                self.cut_len = bytes.len() - read;
                self.cut[..self.cut_len].copy_from_slice(&bytes[read..]);
                break;
            };
            self.left = len;
            let came = &bytes[read..read + size];
            let (first, second) = (came[0], came[1] & 0x7f);
            self.mask.copy_from_slice(&came[size - 4..]);
            if size > SHORT_HEAD {
                bytes.copy_within(read..read + size - 4, made);
            }
            bytes[made] = first;
            bytes[made + 1] = second;
            read += size;
            made += size - 4;
        }
        Ok(made)
    }
}

/// The length of a frame's payload, and the size of its head with the mask; none if the head is cut.
fn head(bytes: &[u8]) -> Result<Option<(u64, usize)>, Unmasked> {
    let Some(second) = bytes.get(1) else {
        return Ok(None);
    };
    if second & 0x80 == 0 {
        return Err(Unmasked);
    }
    Ok(match (second & 0x7f, bytes) {
        (126, [_, _, a, b, _, _, _, _, ..]) => Some((u16::from_be_bytes([*a, *b]).into(), 8)),
        (127, [_, _, len @ ..]) if len.len() >= 12 => {
            let len = len.first_chunk().expect("it is longer");
            Some((u64::from_be_bytes(*len), MAX_HEAD))
        }
        (126 | 127, _) => None,
        (len, _) if bytes.len() >= 6 => Some((len.into(), 6)),
        _ => None,
    })
}

/// Moves bytes from `from` down to `to` and undoes the mask.
fn move_down(bytes: &mut [u8], from: usize, to: usize, len: usize, mask: [u8; 4]) {
    let four = u64::from(u32::from_ne_bytes(mask));
    let word = four << 32 | four;
    let mut done = 0;
    blocks::<256>(bytes, from, to, &mut done, len, word);
    blocks::<64>(bytes, from, to, &mut done, len, word);
    blocks::<8>(bytes, from, to, &mut done, len, word);
    for at in done..len {
        bytes[to + at] = bytes[from + at] ^ mask[at % 4];
    }
}

/// Moves whole blocks. Each is read before it is written, so the two ranges may overlap.
#[inline(always)]
fn blocks<const SIZE: usize>(
    bytes: &mut [u8],
    from: usize,
    to: usize,
    done: &mut usize,
    len: usize,
    word: u64,
) {
    while *done + SIZE <= len {
        let mut block = [0; SIZE];
        block.copy_from_slice(&bytes[from + *done..from + *done + SIZE]);
        for eight in block.as_chunks_mut::<8>().0 {
            *eight = (u64::from_ne_bytes(*eight) ^ word).to_ne_bytes();
        }
        bytes[to + *done..to + *done + SIZE].copy_from_slice(&block);
        *done += SIZE;
    }
}

/// The head of a frame of less than 126 bytes.
const SHORT_HEAD: usize = 6;

const MAX_HEAD: usize = 14;

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's frame, and what a server sends for it.
    fn frame(len: usize, seed: u8) -> (Vec<u8>, Vec<u8>) {
        let bytes =
            std::iter::successors(Some(seed), |it| Some(it.wrapping_mul(5).wrapping_add(1)));
        let payload: Vec<u8> = bytes.take(len).collect();
        let mask = [seed, 0x5a, 0xff, 3];
        let eight = (len as u64).to_be_bytes();
        let lens = match len {
            0..126 => vec![eight[7]],
            126..65_536 => [&[126], &eight[6..]].concat(),
            _ => [&[127], &eight[..]].concat(),
        };
        let mut client = [&[0x82], &lens[..], &mask].concat();
        client[1] |= 0x80;
        let masked = payload.iter().zip(mask.iter().cycle());
        client.extend(masked.map(|(byte, mask)| byte ^ mask));
        (client, [&[0x82], &lens[..], &payload].concat())
    }

    #[test]
    fn frames_cut_anywhere_arrive_as_a_server_sends_them() {
        let lens = [
            0, 1, 5, 64, 125, 126, 127, 200, 1_000, 65_535, 65_536, 70_000, 3,
        ];
        let frames: Vec<_> = lens
            .iter()
            .zip(7..)
            .map(|(len, seed)| frame(*len, seed))
            .collect();
        let came: Vec<u8> = frames.iter().flat_map(|it| it.0.clone()).collect();
        let expected: Vec<u8> = frames.iter().flat_map(|it| it.1.clone()).collect();
        for piece in [1, 2, 3, 7, 13, 100, 4_099, 1 << 20] {
            let mut unmask = Unmask::default();
            let mut made = Vec::new();
            for piece in came.chunks(piece) {
                let mut bytes = vec![0; MAX_HEAD + piece.len()];
                let cut = unmask.resume(&mut bytes);
                bytes[cut..cut + piece.len()].copy_from_slice(piece);
                let len = unmask
                    .run(&mut bytes[..cut + piece.len()])
                    .expect("it is masked");
                made.extend_from_slice(&bytes[..len]);
            }
            assert!(made == expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_client_that_does_not_mask_is_refused() {
        let mut bytes = [0x82, 1, 7];
        assert_eq!(Unmask::default().run(&mut bytes), Err(Unmasked));
    }
}
