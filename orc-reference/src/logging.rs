//! Logs go to standard error, coloured where there is a terminal.

use std::io::IsTerminal as _;

use anstyle::{AnsiColor, Style};
use tracing_subscriber::EnvFilter;

use crate::args::{Args, LogFormat};

/// Errors.
pub const RED: Style = AnsiColor::Red.on_default().bold();

/// Starts logging by the flag; the environment variable `ORC_LOG` goes before it.
pub fn start(args: &Args) {
    let filter = std::env::var("ORC_LOG").unwrap_or_else(|_| args.log.clone());
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|_| EnvFilter::new("warn"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).init(),
    }
}
