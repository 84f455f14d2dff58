//! A row of the table: one thing that somebody does with kubectl, and what must come of it.

/// What a text must be like. `$NS` in a pattern stands for the row's namespace.
#[derive(Clone, Copy, Debug)]
pub enum Want {
    /// The text is exactly this, apart from white space around it.
    Is(&'static str),
    /// The text has this in it.
    Holds(&'static str),
    /// The text does not have this in it.
    Lacks(&'static str),
    /// The text satisfies a predicate, which has a name for the report.
    Fits(&'static str, fn(&str) -> bool),
}

impl Want {
    /// What is wrong with a text, if anything is.
    pub fn missing(&self, said: &str, namespace: &str) -> Option<String> {
        let full = |pattern: &str| pattern.replace("$NS", namespace);
        let (right, wanted) = match *self {
            Self::Is(pattern) => (said.trim() == full(pattern).trim(), format!("exactly {:?}", full(pattern))),
            Self::Holds(pattern) => (said.contains(&full(pattern)), format!("{:?}", full(pattern))),
            Self::Lacks(pattern) => (!said.contains(&full(pattern)), format!("nothing of {:?}", full(pattern))),
            Self::Fits(name, holds) => (holds(said), name.to_owned()),
        };
        (!right).then_some(wanted)
    }
}

/// Where a row runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a namespace of its own, beside other rows.
    Own,
    /// In the namespace of `seen.yaml`, which no row changes, beside other rows.
    Seen,
    /// In a namespace of its own while no other row runs: it touches nodes, or all of the cluster.
    Alone,
}

/// One row. Built by [`row`] and the methods below; the shell lines see `$NS`, and the functions of `run::PRELUDE`.
#[derive(Clone, Debug)]
pub struct Row {
    /// The verb, as the page lists it: `create deployment`, `get`.
    pub verb: &'static str,
    /// The shell line that is the point of the row.
    pub line: &'static str,
    /// Files that are in the row's folder: name, content.
    pub files: Vec<(&'static str, &'static str)>,
    /// Shell lines that come before and must succeed.
    pub given: Vec<&'static str>,
    /// What standard output must be like.
    pub out: Vec<Want>,
    /// What standard error must be like.
    pub err: Vec<Want>,
    /// The exit code; any but 0 where there is none.
    pub code: Option<i32>,
    /// What the cluster must come to look like: shell lines and what they must say at last.
    pub after: Vec<(&'static str, Want)>,
    /// The minors of kubectl that the row is for: from, and up to but without.
    pub minors: std::ops::Range<u32>,
    /// Where it runs.
    pub place: Place,
}

/// A row for a verb.
pub fn row(verb: &'static str, line: &'static str) -> Row {
    let (files, given, out, err, after) = (vec![], vec![], vec![], vec![], vec![]);
    Row { verb, line, files, given, out, err, code: Some(0), after, minors: 0..u32::MAX, place: Place::Own }
}

impl Row {
    /// A file in the row's folder.
    pub fn file(mut self, name: &'static str, content: &'static str) -> Self {
        self.files.push((name, content));
        self
    }

    /// A shell line that comes before.
    pub fn given(mut self, line: &'static str) -> Self {
        self.given.push(line);
        self
    }

    /// Standard output has this in it.
    pub fn says(mut self, text: &'static str) -> Self {
        self.out.push(Want::Holds(text));
        self
    }

    /// Standard output is this.
    pub fn is(mut self, text: &'static str) -> Self {
        self.out.push(Want::Is(text));
        self
    }

    /// Standard output does not have this in it.
    pub fn lacks(mut self, text: &'static str) -> Self {
        self.out.push(Want::Lacks(text));
        self
    }

    /// Standard output satisfies a predicate.
    pub fn fits(mut self, name: &'static str, holds: fn(&str) -> bool) -> Self {
        self.out.push(Want::Fits(name, holds));
        self
    }

    /// Standard error has this in it.
    pub fn warns(mut self, text: &'static str) -> Self {
        self.err.push(Want::Holds(text));
        self
    }

    /// The line ends with this exit code and has this text on standard error.
    pub fn fails(mut self, code: i32, text: &'static str) -> Self {
        self.code = Some(code);
        self.warns(text)
    }

    /// The line ends with this exit code.
    pub fn exits(mut self, code: i32) -> Self {
        self.code = Some(code);
        self
    }

    /// The line fails; kubectls differ in the exit code.
    pub fn code_any(mut self) -> Self {
        self.code = None;
        self
    }

    /// A shell line comes to say exactly this.
    pub fn then(mut self, line: &'static str, text: &'static str) -> Self {
        self.after.push((line, Want::Is(text)));
        self
    }

    /// A shell line comes to say something with this in it.
    pub fn then_holds(mut self, line: &'static str, text: &'static str) -> Self {
        self.after.push((line, Want::Holds(text)));
        self
    }

    /// The least minor of kubectl that has what the row does.
    pub fn since(mut self, minor: u32) -> Self {
        self.minors.start = minor;
        self
    }

    /// The first minor of kubectl that does it otherwise.
    pub fn until(mut self, minor: u32) -> Self {
        self.minors.end = minor;
        self
    }

    /// Runs in the namespace of `seen.yaml`.
    pub fn seen(mut self) -> Self {
        self.place = Place::Seen;
        self
    }

    /// Runs while no other row does.
    pub fn alone(mut self) -> Self {
        self.place = Place::Alone;
        self
    }
}
