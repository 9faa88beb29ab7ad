//! Tables in Markdown.

/// Least, median and greatest of some figures.
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The median.
    pub median: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// The spread of figures of which there is at least one.
    pub fn of(mut figures: Vec<f64>) -> Spread {
        figures.sort_by(f64::total_cmp);
        let at = |i: usize| figures.get(i).copied().unwrap_or(f64::NAN);
        Spread { min: at(0), median: at(figures.len() / 2), max: at(figures.len().max(1) - 1) }
    }
}

/// Prints rows with their cells padded to columns; the first row is the head.
pub fn print(rows: &[Vec<String>]) {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |c: usize| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (i, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).enumerate().map(|(c, (cell, width))| {
            let gap = " ".repeat(width - cell.chars().count());
            if c == 0 { format!("{cell}{gap}") } else { format!("{gap}{cell}") }
        });
        println!("| {} |", cells.collect::<Vec<_>>().join(" | "));
        if i == 0 {
            let line = widths.iter().enumerate().map(|(c, w)| {
                if c == 0 { "-".repeat(*w) } else { format!("{}:", "-".repeat(w - 1)) }
            });
            println!("| {} |", line.collect::<Vec<_>>().join(" | "));
        }
    }
    println!();
}
