//! Static tokens from a file, in kube-apiserver's `--token-auth-file` format: `token,user,uid,"group1,group2"`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use ring::digest::{SHA256, digest};

use super::{AUTHENTICATED, Identity, TokenAuthenticator};

/// The tokens of a file. Tokens are kept and looked up as SHA-256 sums, so that timing tells
/// nothing of a token.
#[derive(Clone, Debug, Default)]
pub struct StaticTokens(BTreeMap<Vec<u8>, Identity>);

/// What is wrong with a token file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenFileError {
    /// A line has too few columns.
    #[error("line {0}: a token line needs at least three columns: token,user,uid[,\"group1,group2\"]")]
    Columns(usize),
    /// A line's token or user is empty.
    #[error("line {line}: the {column} is empty")]
    Empty {
        /// The line, from 1.
        line: usize,
        /// Which column.
        column: &'static str,
    },
    /// A quote is not closed.
    #[error("line {0}: a quoted column does not end")]
    Quote(usize),
}

impl StaticTokens {
    /// Reads the text of a token file. Empty lines and lines that start with `#` do not count.
    ///
    /// # Errors
    /// The first line that does not fit. Tokens never appear in the error.
    pub fn parse(text: &str) -> Result<Self, TokenFileError> {
        let mut tokens = BTreeMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (token, identity) = parse_line(line, at + 1)?;
            tokens.insert(hash(&token), identity);
        }
        Ok(Self(tokens))
    }
}

fn parse_line(line: &str, number: usize) -> Result<(String, Identity), TokenFileError> {
    let columns = split(line).ok_or(TokenFileError::Quote(number))?;
    let [token, user, uid, rest @ ..] = columns.as_slice() else { return Err(TokenFileError::Columns(number)) };
    for (column, text) in [("token", token), ("user", user)] {
        if text.is_empty() {
            return Err(TokenFileError::Empty { line: number, column });
        }
    }
    let listed = rest.first().map_or("", String::as_str);
    let mut groups: Vec<String> =
        listed.split(',').map(str::trim).filter(|g| !g.is_empty()).map(str::to_owned).collect();
    groups.push(AUTHENTICATED.to_owned());
    Ok((token.clone(), Identity { user: user.clone(), uid: uid.clone(), groups, ..Identity::default() }))
}

/// Splits a CSV line (RFC 4180 quoting); `None` when a quote is not closed.
fn split(line: &str) -> Option<Vec<String>> {
    let mut columns = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                columns.last_mut()?.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => columns.push(String::new()),
            _ => columns.last_mut()?.push(c),
        }
    }
    (!quoted).then(|| columns.into_iter().map(|c| c.trim().to_owned()).collect())
}

fn hash(token: &str) -> Vec<u8> {
    digest(&SHA256, token.as_bytes()).as_ref().to_vec()
}

#[async_trait]
impl TokenAuthenticator for StaticTokens {
    async fn authenticate(&self, token: &str) -> Option<Identity> {
        self.0.get(&hash(token)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_read_as_kube_apiserver_reads_them() {
        let tokens = StaticTokens::parse("# comment\nt0,admin,u-0,\"system:masters,devs\"\n\nt1,bob,u-1\n").unwrap();
        let admin = tokens.authenticate("t0").await.unwrap();
        assert_eq!((admin.user.as_str(), admin.uid.as_str()), ("admin", "u-0"));
        assert_eq!(admin.groups, ["system:masters", "devs", "system:authenticated"]);
        assert_eq!(tokens.authenticate("t1").await.unwrap().groups, ["system:authenticated"]);
        assert_eq!(tokens.authenticate("t").await, None);
    }

    #[test]
    fn a_bad_line_is_named() {
        assert_eq!(StaticTokens::parse("a,b,c\nx,y").unwrap_err(), TokenFileError::Columns(2));
        assert_eq!(StaticTokens::parse("a,b,\"c").unwrap_err(), TokenFileError::Quote(1));
        assert!(StaticTokens::parse(",b,c").is_err());
    }
}
