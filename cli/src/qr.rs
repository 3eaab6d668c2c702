//! QR codes (ISO/IEC 18004) for a terminal.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// Draws text as a QR code of half-height blocks, two modules per character; `None` if the text is
/// too long for one.
pub(crate) fn render(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    // Light on dark, as terminals mostly are: scanners want dark modules dark.
    let drawing = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .quiet_zone(true)
        .build();
    Some(drawing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_fits_a_terminal_and_a_book_does_not() {
        let drawing = render("https://peersox.example/#481920-tulip-ember").unwrap();
        assert!(drawing.lines().count() <= 24, "{}", drawing.lines().count());
        assert!(drawing.lines().all(|line| line.chars().count() <= 80));
        assert_eq!(render(&"x".repeat(10_000)), None);
    }
}
