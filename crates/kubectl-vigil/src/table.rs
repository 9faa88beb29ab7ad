//! Rows of cells, written as a table, as JSON, YAML or with commas.

use crate::command_line::Output;
use serde_json::Value;

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its heading in tables.
    pub heading: &'static str,
    /// Its name elsewhere.
    pub name: &'static str,
    /// How its values are shown in tables.
    pub unit: Unit,
    /// Whether only `-o wide` shows it in tables.
    pub wide: bool,
}

/// A column, in one line.
pub const fn column(heading: &'static str, name: &'static str, unit: Unit, wide: bool) -> Column {
    Column { heading, name, unit, wide }
}

/// How numbers are shown in tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// As they are.
    Text,
    /// Thousandths of a core: `250m`.
    Cpu,
    /// Bytes: `128Mi`.
    Memory,
    /// `42%`.
    Percent,
}

/// Writes rows; each has a cell for each column.
pub fn write(columns: &[Column], rows: &[Vec<Value>], output: Output, headers: bool) -> String {
    match output {
        Output::Table => table(columns, rows, headers, false),
        Output::Wide => table(columns, rows, headers, true),
        Output::Json => {
            let objects: Vec<String> = rows.iter().map(|row| json(columns, row)).collect();
            match objects.is_empty() {
                true => "[]\n".to_owned(),
                false => format!("[\n{}\n]\n", objects.join(",\n")),
            }
        }
        Output::Yaml => rows.iter().map(|row| yaml(columns, row)).collect(),
        Output::Csv => {
            let mut out = String::new();
            if headers {
                let names: Vec<&str> = columns.iter().map(|c| c.name).collect();
                out += &format!("{}\n", names.join(","));
            }
            for row in rows {
                let cells: Vec<String> = row.iter().map(quoted).collect();
                out += &format!("{}\n", cells.join(","));
            }
            out
        }
    }
}

/// An object with its fields in the columns' order.
fn json(columns: &[Column], row: &[Value]) -> String {
    let fields: Vec<String> =
        columns.iter().zip(row).map(|(c, value)| format!("    \"{}\": {value}", c.name)).collect();
    format!("  {{\n{}\n  }}", fields.join(",\n"))
}

fn yaml(columns: &[Column], row: &[Value]) -> String {
    let mut out = String::new();
    for (i, (column, value)) in columns.iter().zip(row).enumerate() {
        // JSON's scalars are YAML's.
        out += &format!("{}{}: {value}\n", if i == 0 { "- " } else { "  " }, column.name);
    }
    out
}

fn quoted(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.contains(['"', ',', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn table(columns: &[Column], rows: &[Vec<Value>], headers: bool, wide: bool) -> String {
    let shown: Vec<usize> = (0..columns.len()).filter(|i| wide || !columns[*i].wide).collect();
    let mut lines: Vec<Vec<String>> = Vec::new();
    if headers {
        lines.push(shown.iter().map(|i| columns[*i].heading.to_owned()).collect());
    }
    let cells = |row: &Vec<Value>| shown.iter().map(|i| cell(columns[*i].unit, &row[*i])).collect();
    lines.extend(rows.iter().map(cells));
    let width = |at: usize| lines.iter().map(|l| l[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..shown.len()).map(width).collect();
    let mut out = String::new();
    for line in &lines {
        for (at, text) in line.iter().enumerate() {
            let last = at + 1 == line.len();
            let (width, gap) = (widths[at], if last { "" } else { "   " });
            match columns[shown[at]].unit {
                Unit::Text if last => out += text,
                Unit::Text => out += &format!("{text:width$}{gap}"),
                _ => out += &format!("{text:>width$}{gap}"),
            }
        }
        out.push('\n');
    }
    out
}

fn cell(unit: Unit, value: &Value) -> String {
    let number = value.as_i64();
    match (unit, number) {
        (_, None) => value.as_str().map_or_else(|| "-".to_owned(), str::to_owned),
        (Unit::Text, Some(n)) => n.to_string(),
        (Unit::Cpu, Some(n)) => format!("{n}m"),
        (Unit::Memory, Some(n)) => format!("{}Mi", n / (1 << 20)),
        (Unit::Percent, Some(n)) => format!("{n}%"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_form() {
        let columns = [
            column("NAME", "name", Unit::Text, false),
            column("CPU", "cpuMillicores", Unit::Cpu, false),
            column("MEM%", "memoryPercent", Unit::Percent, true),
        ];
        let rows = vec![
            vec![json!("a,b"), json!(1500), json!(7)],
            vec![json!("c"), Value::Null, json!(90)],
        ];
        let written = |output, headers| write(&columns, &rows, output, headers);
        assert_eq!(written(Output::Table, true), "NAME     CPU\na,b    1500m\nc          -\n");
        assert_eq!(written(Output::Wide, false), "a,b   1500m    7%\nc         -   90%\n");
        assert_eq!(
            written(Output::Csv, true),
            "name,cpuMillicores,memoryPercent\n\"a,b\",1500,7\nc,,90\n"
        );
        assert_eq!(
            written(Output::Yaml, true),
            "- name: \"a,b\"\n  cpuMillicores: 1500\n  memoryPercent: 7\n\
             - name: \"c\"\n  cpuMillicores: null\n  memoryPercent: 90\n"
        );
        let json: Value = serde_json::from_str(&written(Output::Json, true)).unwrap();
        assert_eq!(json[0]["cpuMillicores"], 1500);
    }
}
