//! Where a key stands in the memory of the process that asks: stacks, heap, everything that it can write to.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;

use zeroize::Zeroizing;

/// What is looked for. It does not stand in memory as it is, or the search would find itself.
pub struct Masked([u8; 32]);

const MASK: u8 = 0xa5;

/// ChaCha20 has its key in two vectors of 16 bytes.
const HALF: usize = 16;

const PAGE: usize = 4096;

impl Masked {
    pub fn new(key: &[u8; 32]) -> Self {
        let mask = black_box(MASK);
        Self(key.map(|byte| byte ^ mask))
    }

    pub fn unmasked(&self) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new(self.0);
        let mask = black_box(MASK);
        key.iter_mut().for_each(|byte| *byte ^= mask);
        key
    }

    /// How often a half of the key stands in memory.
    pub fn halves_in_memory(&self) -> usize {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let memory = File::open("/proc/self/mem").unwrap();
        // So large that it has a mapping of its own.
        let mut buffer = vec![0; 1 << 20];
        // The end of the page before, because a half may lie across; then a page.
        let buffer = &mut buffer[..HALF - 1 + PAGE];
        let mut found = 0;
        for line in maps.lines() {
            let mut fields = line.split_whitespace();
            let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
            if !rights.starts_with("rw") {
                continue;
            }
            let (from, to) = range.split_once('-').unwrap();
            let at = |hex| u64::from_str_radix(hex, 16).unwrap();
            for start in (at(from)..at(to)).step_by(PAGE) {
                buffer.copy_within(PAGE.., 0);
                let page = &mut buffer[HALF - 1..];
                // This is memory, too: what it shows of the page before would be found twice.
                page.fill(0);
                if memory.read_exact_at(page, start).is_err() {
                    // A page of a device, say.
                    buffer.fill(0);
                }
                let halves = self.0.chunks(HALF);
                found += halves.map(|half| count(buffer, half)).sum::<usize>();
            }
            buffer.fill(0);
        }
        found
    }
}

/// How often what is masked stands in `bytes` as it is.
fn count(bytes: &[u8], masked: &[u8]) -> usize {
    let same = |window: &&[u8]| window.iter().zip(masked).all(|(a, b)| a ^ MASK == *b);
    bytes.windows(masked.len()).filter(same).count()
}
