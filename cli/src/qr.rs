//! QR codes (ISO/IEC 18004) for a terminal: black on white whatever its colours are, or none.
//!
//! | the terminal | what it shows |
//! |---|---|
//! | has colours and UTF-8 | half-height blocks, two modules per character |
//! | has colours only | two spaces per module, told apart by their background |
//! | has no colours, is refused them by `NO_COLOR`, or is too small | nothing: the link stands below anyway |

use qrcode::{Color, EcLevel, QrCode};

use crate::terminal::Look;

/// Draws text as a QR code that fits this terminal.
pub(crate) fn draw(text: &str) -> Option<String> {
    render(text, Look::of_stderr())
}

fn render(text: &str, look: Look) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let side = code.width() + 2 * QUIET_ZONE;
    let (width, height) = match look.utf8 {
        true => (side, side.div_ceil(2)),
        false => (2 * side, side),
    };
    if !look.colours || width > look.columns || height > look.rows {
        return None;
    }
    let colours = code.to_colors();
    let is_dark = |x: usize, y: usize| {
        let (x, y) = (x.checked_sub(QUIET_ZONE), y.checked_sub(QUIET_ZONE));
        match (x, y) {
            (Some(x), Some(y)) if x < code.width() && y < code.width() => {
                colours[y * code.width() + x] == Color::Dark
            }
            _ => false,
        }
    };
    let mut lines = Vec::new();
    for row in 0..height {
        let mut line = String::new();
        match look.utf8 {
            true => {
                line.push_str(BLACK_ON_WHITE);
                for x in 0..side {
                    line.push(match (is_dark(x, 2 * row), is_dark(x, 2 * row + 1)) {
                        (true, true) => '█',
                        (true, false) => '▀',
                        (false, true) => '▄',
                        (false, false) => ' ',
                    });
                }
            }
            false => {
                for x in 0..side {
                    let colour = if is_dark(x, row) { BLACK } else { WHITE };
                    line.push_str(colour);
                    line.push_str("  ");
                }
            }
        }
        line.push_str(RESET);
        lines.push(line);
    }
    Some(lines.join("\n"))
}

/// The white frame around the modules: the standard wants four, scanners are content with two.
const QUIET_ZONE: usize = 2;

/// SGR: black on bright white, with plain white for terminals of eight colours.
const BLACK_ON_WHITE: &str = "\x1b[30;47;107m";
const BLACK: &str = "\x1b[40m";
const WHITE: &str = "\x1b[47;107m";
const RESET: &str = "\x1b[0m";

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &str = "https://peersox.example/#481920-tulip-ember";
    const BIG: Look = Look {
        utf8: true,
        colours: true,
        cursor: true,
        columns: 80,
        rows: 24,
    };

    #[test]
    fn a_picture_fits_its_terminal_or_is_not_drawn() {
        let blocks = render(LINK, BIG).unwrap();
        let width = blocks.lines().map(visible).max().unwrap();
        let small = |columns, rows| Look {
            columns,
            rows,
            ..BIG
        };
        let height = blocks.lines().count();
        assert!(width <= 40 && height <= 20, "{width} × {height}");
        assert!(render(LINK, small(width, height)).is_some());
        assert_eq!(render(LINK, small(width - 1, height)), None);
        assert_eq!(render(LINK, small(width, height - 1)), None);
        assert_eq!(render(&"x".repeat(10_000), BIG), None);
    }

    #[test]
    fn every_line_names_its_colours_and_takes_them_back() {
        let spaces = Look {
            utf8: false,
            rows: 60,
            ..BIG
        };
        for look in [BIG, spaces] {
            let picture = render(LINK, look).unwrap();
            assert_eq!(picture.is_ascii(), !look.utf8);
            for line in picture.lines() {
                assert!(
                    line.starts_with("\x1b[") && line.ends_with(RESET),
                    "{line:?}"
                );
            }
        }
        let bare = Look {
            colours: false,
            ..BIG
        };
        assert_eq!(render(LINK, bare), None);
    }

    /// The characters of a line that take room.
    fn visible(line: &str) -> usize {
        let mut parts = line.split('\x1b');
        let first = parts.next().unwrap_or_default().chars().count();
        let rest = parts.filter_map(|part| part.split_once('m'));
        first + rest.map(|(_, text)| text.chars().count()).sum::<usize>()
    }
}
