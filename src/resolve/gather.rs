//! Reads the files of a policy: the roots, and what they include, each once.

use std::collections::BTreeSet;

use super::cycles;
use crate::diag::{Diagnostic, Findings, code};
use crate::source::{FileId, Loader, SourceMap, Span};
use crate::syntax::{ast, parse};

/// How many files a policy may have.
const FILES: usize = 1_000;

/// Parses the roots and everything they include, relative to the including file, each file once.
///
/// A file that cannot be read, a cycle of includes and more than 1,000 files are errors.
pub fn gather(
    sources: &mut SourceMap,
    roots: &[FileId],
    loader: &mut dyn Loader,
    findings: &mut Findings,
) -> Vec<ast::File> {
    let mut reading = Reading { order: Vec::new(), edges: Vec::new(), seen: BTreeSet::new() };
    for &root in roots {
        reading.meet(root);
    }
    let (mut files, mut at): (Vec<ast::File>, usize) = (Vec::new(), 0);
    while let Some(&id) = reading.order.get(at) {
        at = at.saturating_add(1);
        let file = parse(sources, id, findings);
        for include in includes(&file) {
            reading.follow(sources, id, include, loader, findings);
        }
        files.push(file);
    }
    reading.report_cycles(sources, findings);
    files
}

/// What has been met so far.
struct Reading {
    order: Vec<FileId>,
    seen: BTreeSet<FileId>,
    /// Which file includes which, and where.
    edges: Vec<(FileId, FileId, Span)>,
}

impl Reading {
    fn meet(&mut self, id: FileId) {
        if self.seen.insert(id) {
            self.order.push(id);
        }
    }

    fn follow(
        &mut self,
        sources: &mut SourceMap,
        from: FileId,
        path: &ast::Str,
        loader: &mut dyn Loader,
        findings: &mut Findings,
    ) {
        let name = sources.file(from).map(|f| f.name.clone()).unwrap_or_default();
        let text = match loader.load(&name, &path.text) {
            Ok(text) => text,
            Err(why) => {
                findings.push(unreadable(path, &why));
                return;
            }
        };
        let id = match sources.find(&text.name) {
            Some(id) => id,
            None if self.order.len() >= FILES => {
                let message = format!("a policy has at most {FILES} files");
                findings.push(Diagnostic::error(code::TOO_LARGE, path.span, message));
                return;
            }
            None => sources.add(text.name, text.text),
        };
        self.meet(id);
        self.edges.push((from, id, path.span));
    }

    fn report_cycles(&self, sources: &SourceMap, findings: &mut Findings) {
        let place = |id: FileId| self.order.iter().position(|f| *f == id);
        let mut refers = vec![Vec::new(); self.order.len()];
        for (from, to, _) in &self.edges {
            let list = place(*from).and_then(|from| refers.get_mut(from));
            if let (Some(list), Some(to)) = (list, place(*to)) {
                list.push(to);
            }
        }
        for cycle in cycles::order(&refers).cycles {
            let ids: Vec<FileId> = cycle.iter().filter_map(|&n| self.order.get(n).copied()).collect();
            let (Some(&first), Some(&last)) = (ids.first(), ids.last()) else { continue };
            // The statement that closes the circle: the last file of it names the first again.
            let Some((_, _, span)) = self.edges.iter().find(|(f, t, _)| (*f, *t) == (last, first)) else {
                continue;
            };
            let name = sources.file(first).map_or("", |f| f.name.as_str());
            let message = format!("this includes `{name}`, which includes this file");
            findings.push(
                Diagnostic::error(code::INCLUDE_CYCLE, *span, message)
                    .help("a file is taken once and names are global: remove one of the `include`s"),
            );
        }
    }
}

fn includes(file: &ast::File) -> impl Iterator<Item = &ast::Str> {
    file.statements
        .iter()
        .filter_map(|s| if let ast::StatementKind::Include(path) = &s.kind { Some(path) } else { None })
}

/// `path` cannot be read, for the loader's reason.
pub(super) fn unreadable(path: &ast::Str, why: &str) -> Diagnostic {
    let message = format!("cannot read `{}`: {}", super::words::clean(&path.text), super::words::clean(why));
    Diagnostic::error(code::UNREADABLE_FILE, path.span, message)
        .help("a path is relative to the file that names it")
}
