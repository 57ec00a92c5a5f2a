//! How the demo looks: headings, a gutter, colours where the terminal has them.
//!
//! Piped output is plain lines. `NO_COLOR` is obeyed.

use console::{Style, Term};

/// The first line of all.
pub(super) fn title(text: &str) {
    println!("\n{}", Style::new().bold().apply_to(text));
}

/// A new chapter.
pub(super) fn chapter(number: u8, text: &str) {
    let number = Style::new().cyan().bold().apply_to(number);
    println!("\n{number}  {}", Style::new().bold().apply_to(text));
}

/// A line of the story.
pub(super) fn text(text: &str) {
    println!("   {text}");
}

/// A command that does at a shell what the demo does next.
pub(super) fn command(text: &str) {
    println!("   {}", Style::new().dim().apply_to(format!("$ profile-mirror {text}")));
}

/// What people may open or type, with what it is for.
pub(super) fn link(label: &str, address: &str) {
    println!("   {label:<10} {}", Style::new().cyan().apply_to(address));
}

/// What somebody says, and whether it is right.
pub(super) fn verdict(who: &str, says: &str, is_right: bool, comment: &str) {
    let style = if is_right { Style::new().green() } else { Style::new().red().bold() };
    println!("   {who:<12} {} {comment}", style.apply_to(format!("{says:<8}")));
}

/// Something that happens, at a time of day, cut to the width of the terminal.
pub(super) fn event(at: &str, is_told: bool, text: &str) {
    // The time of day and the gutter.
    let text = cut(text, usize::from(width().saturating_sub(18)));
    let at = Style::new().dim().apply_to(at);
    match is_told {
        true => println!("{at}    {} {text}", Style::new().green().apply_to("▸")),
        false => println!("{at}  {text}"),
    }
}

/// Columns; no limit where nobody watches.
fn width() -> u16 {
    let terminal = Term::stdout();
    if terminal.is_term() { terminal.size().1 } else { u16::MAX }
}

fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let kept: String = text.chars().take(columns.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_to_its_columns_and_says_so() {
        assert_eq!(cut("Zoë was closed", 14), "Zoë was closed");
        assert_eq!(cut("Zoë was closed", 8), "Zoë was…");
    }
}
