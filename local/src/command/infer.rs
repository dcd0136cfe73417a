use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use stepwell_extract::infer::{SAMPLE_BYTES_MAX, Sample, infer};

use super::CommandError;

/// The bytes looked at in the middle and at the end of a large file.
const LATER_BYTES: u64 = 1 << 20;

#[derive(Debug, Args)]
pub(super) struct InferArguments {
    /// The file to look at: CSV, TSV, NDJSON or JSON, plain or compressed with gzip or zstd.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Writes the spec to a new file instead of the standard output.
    #[arg(short, long, value_name = "PIPELINE.YAML")]
    output: Option<PathBuf>,
}

pub(super) fn run(arguments: &InferArguments) -> Result<ExitCode, CommandError> {
    let shown = arguments.file.display();
    let bytes =
        Pieces::read(&arguments.file).map_err(|error| CommandError::Usage(format!("cannot read {shown}: {error}")))?;
    let name = arguments.file.file_name().unwrap_or_default().to_string_lossy();
    let later: Vec<&[u8]> = bytes.later.iter().map(Vec::as_slice).collect();
    let sample = Sample { name: &name, head: &bytes.head, is_whole: bytes.is_whole, later: &later };
    let spec = infer(&sample).map_err(|message| CommandError::Usage(format!("cannot infer a spec: {message}")))?;
    match &arguments.output {
        None => print!("{spec}"),
        Some(output) => write_new(output, &spec)
            .map_err(|error| CommandError::Usage(format!("cannot write {}: {error}", output.display())))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    File::create_new(path)?.write_all(text.as_bytes())
}

/// What is read of a file.
struct Pieces {
    head: Vec<u8>,
    is_whole: bool,
    later: Vec<Vec<u8>>,
}

impl Pieces {
    fn read(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut head = Vec::new();
        Read::by_ref(&mut file).take(SAMPLE_BYTES_MAX as u64 + 1).read_to_end(&mut head)?;
        let is_whole = head.len() <= SAMPLE_BYTES_MAX;
        head.truncate(SAMPLE_BYTES_MAX);
        let size = file.metadata()?.len();
        let mut later = Vec::new();
        // Neither a short file nor a pipe, whose size is not known, has more places to look at.
        if size > SAMPLE_BYTES_MAX as u64 + 2 * LATER_BYTES {
            for start in [size / 2, size - LATER_BYTES] {
                let mut piece = Vec::new();
                file.seek(SeekFrom::Start(start.max(SAMPLE_BYTES_MAX as u64)))?;
                Read::by_ref(&mut file).take(LATER_BYTES).read_to_end(&mut piece)?;
                later.push(piece);
            }
        }
        Ok(Self { head, is_whole, later })
    }
}
