//! Files of rows, and what may be wrong with them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What is wrong with an input file, and where.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct InputError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1 on; `None` where it is the file as a whole.
    pub line: Option<usize>,
    /// The field, as the file names it.
    pub field: Option<String>,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(field) = &self.field {
            write!(f, ": {field}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl InputError {
    /// Something is wrong with the file as a whole.
    pub fn whole(file: &Path, reason: impl fmt::Display) -> Self {
        Self { file: file.to_owned(), line: None, field: None, reason: reason.to_string() }
    }
}

/// Reads a file.
///
/// # Errors
/// When it cannot be read.
pub(super) fn read(file: &Path) -> Result<String, InputError> {
    std::fs::read_to_string(file).map_err(|error| InputError::whole(file, error))
}

/// A file of rows with a header; fields do not hold commas.
pub(super) struct Rows<'a> {
    file: &'a Path,
    header: Vec<&'a str>,
    lines: Vec<(usize, Vec<&'a str>)>,
}

/// One row.
pub(super) struct Row<'a> {
    rows: &'a Rows<'a>,
    at: usize,
}

impl<'a> Rows<'a> {
    pub(super) fn parse(file: &'a Path, text: &'a str, needed: &[&str]) -> Result<Self, InputError> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let (_, header) = lines.next().ok_or_else(|| InputError::whole(file, "the file is empty"))?;
        let header: Vec<&str> = header.split(',').map(str::trim).collect();
        if let Some(missing) = needed.iter().find(|name| !header.contains(name)) {
            let reason = format!("missing; the header must have {}", needed.join(","));
            return Err(InputError {
                line: Some(1),
                field: Some((*missing).to_owned()),
                ..InputError::whole(file, reason)
            });
        }
        let fields = |line: &'a str| line.split(',').map(str::trim).collect::<Vec<_>>();
        let rows = Self { file, header, lines: lines.map(|(at, line)| (at + 1, fields(line))).collect() };
        match rows.lines.iter().find(|(_, fields)| fields.len() != rows.header.len()) {
            Some((line, fields)) => {
                let reason = format!("{} fields, the header has {}", fields.len(), rows.header.len());
                Err(InputError { line: Some(*line), ..InputError::whole(file, reason) })
            }
            None => Ok(rows),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.lines.len()).map(|at| Row { rows: self, at })
    }
}

impl Row<'_> {
    /// A field as text; empty when the file has no such column.
    pub(super) fn text(&self, field: &str) -> &str {
        let column = self.rows.header.iter().position(|name| *name == field);
        column.map_or("", |column| self.rows.lines[self.at].1[column])
    }

    /// A field as a number.
    pub(super) fn number<T: FromStr + PartialOrd + Default>(&self, field: &str) -> Result<T, InputError> {
        let text = self.text(field);
        let parsed = text.parse::<T>().ok().filter(|number| *number >= T::default());
        parsed.ok_or_else(|| self.error(field, format!("Invalid value: {text:?}: must be a non-negative number")))
    }

    /// A field as a number; `None` when it is empty or the file has no such column.
    pub(super) fn optional(&self, field: &str) -> Result<Option<f64>, InputError> {
        if self.text(field).is_empty() { Ok(None) } else { self.number(field).map(Some) }
    }

    /// Something is wrong with a field.
    pub(super) fn error(&self, field: &str, reason: String) -> InputError {
        let line = Some(self.rows.lines[self.at].0);
        InputError { line, field: Some(field.to_owned()), ..InputError::whole(self.rows.file, reason) }
    }
}
