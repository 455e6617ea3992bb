//! The texts a run reads, and positions in them.
//!
//! Every other module speaks of text as a [`Span`]; only [`SourceMap`] can turn one back into a file
//! name, a line and a column.

/// One file of a [`SourceMap`], by its place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A stretch of bytes of one file; `start <= end`, both on character boundaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// Byte offset of the first byte.
    pub start: u32,
    /// Byte offset after the last byte.
    pub end: u32,
}

impl Span {
    /// The stretch from the start of `self` to the end of `other`, both in one file.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { file: self.file, start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// One text: a policy file, or a list or key file that a policy names.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// The name as the user gave it, or relative to the including file: never an absolute path of
    /// our making, so that outputs do not depend on where a checkout lies.
    pub name: String,
    /// The whole text, UTF-8.
    pub text: String,
}

/// A position as people count: both from one, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineColumn {
    /// Line, from one.
    pub line: usize,
    /// Column in characters, from one.
    pub column: usize,
}

/// Reads what a policy refers to by name: includes, lists, key files.
///
/// The pure middle has no file system; `cli` implements this over one, tests over a map.
pub trait Loader {
    /// The text of `path`, as written in the policy file `from` (relative to its folder).
    ///
    /// # Errors
    /// A sentence in the reader's words when it cannot be read, is too large, or is not UTF-8.
    fn load(&mut self, from: &str, path: &str) -> Result<SourceFile, String>;

    /// Where the file that goes by a name really lies, from the root on; none where that is nowhere.
    fn place(&self, _name: &str) -> Option<String> {
        None
    }
}

/// All texts of one run.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
    /// By file, [`SourceMap::portable`]; as far as they were settled.
    portable: Vec<String>,
    /// By file, where each line ends: the offsets of its line feeds, ascending.
    ends: Vec<Vec<u32>>,
}

impl SourceMap {
    /// Adds a text. The order of adding is the order of [`FileId`]s and nothing else.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        let text = text.into();
        // Offsets are 32 bits in a `Span` too.
        let feeds = (0u32..).zip(text.bytes()).filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at);
        self.ends.push(feeds.collect());
        self.files.push(SourceFile { name: name.into(), text });
        id
    }

    /// The file, if `id` is of this map.
    #[must_use]
    pub fn file(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(id.0 as usize)
    }

    /// The file already added under `name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<FileId> {
        let at = self.files.iter().position(|f| f.name == name)?;
        u32::try_from(at).ok().map(FileId)
    }

    /// Settles what the files of now are called in what is written: wherever they lie and however they were named, by their way
    /// from the innermost folder that holds all of them.
    pub fn settle(&mut self, loader: &dyn Loader) {
        let places: Vec<Option<String>> = self.files.iter().map(|file| loader.place(&file.name)).collect();
        let folders =
            || places.iter().flatten().filter_map(|place| place.rsplit_once('/')).map(|(folder, _)| folder);
        let mut common: Vec<&str> =
            folders().next().map_or_else(Vec::new, |first| first.split('/').collect());
        for folder in folders() {
            let same = common.iter().zip(folder.split('/')).take_while(|(a, b)| **a == *b).count();
            common.truncate(same);
        }
        let above = common.iter().map(|part| part.len().saturating_add(1)).sum();
        let named = |(file, place): (&SourceFile, &Option<String>)| match place {
            Some(place) => place.get(above..).unwrap_or(place).to_owned(),
            None => file.name.clone(),
        };
        self.portable = self.files.iter().zip(&places).map(named).collect();
    }

    /// What a file is called in what is written ([`SourceMap::settle`]); until that is settled, its name.
    #[must_use]
    pub fn portable(&self, id: FileId) -> Option<&str> {
        let settled = self.portable.get(id.0 as usize).map(String::as_str);
        settled.or_else(|| self.file(id).map(|file| file.name.as_str()))
    }

    /// Every file with its id.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        (0u32..).map(FileId).zip(&self.files)
    }

    /// The words of `span`, or nothing where it is not of this map.
    #[must_use]
    pub fn words(&self, span: Span) -> &str {
        self.file(span.file).and_then(|f| f.text.get(span.start as usize..span.end as usize)).unwrap_or("")
    }

    /// Where `span` starts.
    #[must_use]
    pub fn position(&self, span: Span) -> Option<LineColumn> {
        let text = &self.file(span.file)?.text;
        let ends = self.ends.get(span.file.0 as usize)?;
        let lines = ends.partition_point(|&end| end < span.start);
        let from = lines.checked_sub(1).and_then(|at| ends.get(at)).map_or(0, |end| *end as usize + 1);
        let before = text.get(from..span.start as usize)?;
        Some(LineColumn { line: lines.saturating_add(1), column: before.chars().count().saturating_add(1) })
    }
}
