//! A recording: a folder of JSON as the AWS CLI writes it, or boto (docs/aws.md).
//!
//! Every file below it that is an answer is read, and one that is no answer EC2 could have given is an error, never passed
//! over; so is an answer that goes on at a page which is not there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::target::aws::artifact::{Document, Estate, NoteKind};
use crate::target::aws::read::{self, Conflict, Why};

use super::super::clean::clean_line;
use super::super::files::text_of;
use super::super::import::Blocks;
use super::super::{Console, Failure};

/// How many files a recording may have.
const MOST_FILES: usize = 4096;

/// Whether a folder holds answers of EC2 and no policy or build, or a file is one.
pub(in crate::cli) fn is_recording(path: &Path) -> bool {
    if path.is_file() {
        return path.extension().is_some_and(|ext| ext == "json")
            && text_of(path).is_ok_and(|text| is_answer(&text));
    }
    let Ok(files) = json_files(path) else { return false };
    let answer = |file: &PathBuf| text_of(file).is_ok_and(|text| is_answer(&text));
    path.is_dir() && !path.join("manifest.json").is_file() && !has_policy(path) && files.iter().any(answer)
}

/// Whether a text is an answer of EC2, right or wrong.
pub(in crate::cli) fn is_answer(text: &str) -> bool {
    // A large listing of JSON is not read for nothing.
    let named = |kind: &&str| text.contains(&format!("\"{kind}\""));
    read::KINDS.iter().any(named)
        && !matches!(
            read::read_all(text),
            Err(read::ReadError { why: Why::Unrecognised | Why::Json(_) | Why::Expected(_), .. })
        )
}

fn has_policy(path: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(path) else { return false };
    entries.flatten().any(|entry| entry.path().extension().is_some_and(|ext| ext == "fw"))
}

/// Every file of JSON below a folder, by name.
fn json_files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let (mut files, mut folders) = (Vec::new(), vec![path.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|why| Failure::io("read", &folder, &why))?;
        for entry in entries {
            let entry = entry.map_err(|why| Failure::io("read", &folder, &why))?;
            let kind = entry.file_type().map_err(|why| Failure::io("read", &entry.path(), &why))?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if entry.path().extension().is_some_and(|ext| ext == "json") {
                files.push(entry.path());
            }
            if files.len().saturating_add(folders.len()) > MOST_FILES {
                let message = format!("`{}` has more than {MOST_FILES} files and folders", path.display());
                return Err(Failure::new(message));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// What the answers of a folder say together. Notes and what is passed over are talk.
///
/// # Errors
/// A file that is no answer EC2 could have given; answers that contradict each other, or of which a page is not there.
pub(in crate::cli) fn recording(path: &Path, console: &mut Console<'_>) -> Result<Estate, Failure> {
    let mut documents = Vec::new();
    let mut pages = Pages::default();
    for file in json_files(path)? {
        let name = file.display().to_string();
        let text = text_of(&file).map_err(|why| Failure::new(format!("cannot read `{name}`: {why}")))?;
        match read::read_all(&text) {
            Ok(all) => {
                for read in all {
                    for note in &read.notes {
                        console.talk(&format!(
                            "note: {}: {}\n",
                            clean_line(&name),
                            clean_line(&note.to_string())
                        ));
                    }
                    let of = matches!(read.document, Document::Entries(_)).then(|| list_of(&file)).flatten();
                    let goes_on = read.notes.iter().any(|note| note.kind == NoteKind::NotWhole);
                    pages.page(&file, (read.document.call(), of.as_deref()), goes_on);
                    documents.push((of, read.document));
                }
            }
            Err(why) if matches!(why.why, Why::Unrecognised) && matches!(read::vpcs(&text), Ok(Some(_))) => {}
            Err(why) if matches!(why.why, Why::Unrecognised) => {
                console.talk(&format!("note: {}: {}\n", clean_line(&name), clean_line(&why.to_string())));
            }
            Err(read::ReadError { why: Why::Json(why), .. })
                if !text.trim_start().starts_with(['{', '[']) =>
            {
                return Err(Failure::new(format!("`{name}` is no JSON, as answers of EC2 are: {why}"))
                    .help("record them: `aws ec2 describe-security-groups > FILE.json`"));
            }
            Err(why) => return Err(Failure::new(format!("`{name}`: {why}"))),
        }
    }
    pages.whole()?;
    if documents.is_empty() {
        let message =
            format!("`{}` holds no answer of EC2 about security groups or interfaces", path.display());
        let help = "describe them: `aws ec2 describe-security-groups > FILE.json`";
        return Err(Failure::new(message).help(help));
    }
    read::gather(documents).map_err(|conflicts| {
        let all: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
        let failure = Failure::new(format!("`{}`: {}", path.display(), all.join("; ")));
        if conflicts.contains(&Conflict::Entries) {
            return failure
                .help("the name of a file with the entries of a prefix list has the list's id in it");
        }
        failure.help("a folder holds the answers of one estate at one time: keep others elsewhere")
    })
}

/// The blocks of VPCs that the answers of a folder tell (`describe-vpcs`).
///
/// # Errors
/// As [`recording`].
pub(in crate::cli) fn blocks(path: &Path) -> Result<Blocks, Failure> {
    let mut all = Blocks::new();
    let mut pages = Pages::default();
    for file in json_files(path)? {
        let name = file.display().to_string();
        let text = text_of(&file).map_err(|why| Failure::new(format!("cannot read `{name}`: {why}")))?;
        let told = read::vpcs(&text).map_err(|why| Failure::new(format!("`{name}`: {why}")))?;
        let Some(told) = told else { continue };
        pages.page(&file, ("describe-vpcs", None), told.goes_on);
        for of in told.vpcs {
            all.entry(of.id).or_default().extend(of.blocks);
        }
    }
    pages.whole()?;
    for nets in all.values_mut() {
        nets.sort();
        nets.dedup();
    }
    Ok(all)
}

/// `…pl-0123….json`: the answer itself does not say of which list it is.
fn list_of(file: &Path) -> Option<String> {
    let stem = file.file_stem()?.to_str()?;
    let (_, rest) = stem.rsplit_once("pl-")?;
    let digits: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
    (!digits.is_empty()).then(|| format!("pl-{digits}"))
}

/// In which folder it is, what was called, and of which prefix list.
type Answer = (PathBuf, &'static str, Option<String>);

/// How the pages of an answer end.
#[derive(Default)]
struct Ends {
    /// The first file that goes on at another page.
    open: Option<PathBuf>,
    /// Whether a last page is there.
    last: bool,
}

/// Which pages of each answer there are, folder by folder.
#[derive(Default)]
struct Pages {
    /// By folder, call and list.
    seen: BTreeMap<Answer, Ends>,
}

impl Pages {
    fn page(&mut self, file: &Path, (call, list): (&'static str, Option<&str>), goes_on: bool) {
        let folder = file.parent().unwrap_or(file).to_path_buf();
        let ends = self.seen.entry((folder, call, list.map(str::to_owned))).or_default();
        if goes_on {
            ends.open.get_or_insert_with(|| file.to_path_buf());
        } else {
            ends.last = true;
        }
    }

    /// What is on a page that is not there is not known, and must not be taken for nothing.
    fn whole(&self) -> Result<(), Failure> {
        let cut = |((_, call, _), ends): (&Answer, &Ends)| {
            ends.open.clone().filter(|_| !ends.last).map(|file| (*call, file))
        };
        let Some((call, file)) = self.seen.iter().find_map(cut) else { return Ok(()) };
        let message = format!(
            "`{}` is not the whole answer: it goes on at a page that is not there (NextToken)",
            file.display()
        );
        let help = format!("record every page: `aws ec2 {call}` without `--max-items` and `--no-paginate`");
        Err(Failure::new(message).help(help))
    }
}
