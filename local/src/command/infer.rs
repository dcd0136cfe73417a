use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::Args;
use object_store::{ObjectStore, ObjectStoreExt, local::LocalFileSystem, memory::InMemory};
use stepwell_extract::infer::{SAMPLE_BYTES_MAX, infer_object};
use stepwell_pipeline::{
    StageError,
    progress::Unwatched,
    stage::{Buckets, StageContext},
    store::{self, ObjectRef, Stores},
};

use super::CommandError;

/// What the folder of the file is called as a bucket; no message shows it.
const BUCKET: &str = "files";

#[derive(Debug, Args)]
pub(super) struct InferArguments {
    /// The file to look at, of any format and compression that runs read; of a zip, its first file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Writes the spec to a new file instead of the standard output.
    #[arg(short, long, value_name = "PIPELINE.YAML")]
    output: Option<PathBuf>,
}

pub(super) async fn run(arguments: &InferArguments) -> Result<ExitCode, CommandError> {
    let shown = arguments.file.display();
    let (folder, object) =
        open(&arguments.file).await.map_err(|error| CommandError::Usage(format!("cannot read {shown}: {error}")))?;
    let [landing, work, lake] = [BUCKET; 3].map(str::to_owned);
    let context = StageContext::new(Arc::new(folder), Buckets { landing, work, lake }, Arc::new(Unwatched));
    let spec = infer_object(&context, &object).await.map_err(|error| {
        let message = error.report().replace(&object.to_string(), &shown.to_string());
        CommandError::Usage(format!("cannot infer a spec: {message}"))
    })?;
    match &arguments.output {
        None => print!("{spec}"),
        Some(output) => write_new(output, &spec)
            .map_err(|error| CommandError::Usage(format!("cannot write {}: {error}", output.display())))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The file as an object of its folder; of a pipe, whose bytes come once, the first are one in memory.
async fn open(file: &Path) -> io::Result<(Folder, ObjectRef)> {
    let file = file.canonicalize()?;
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| io::Error::other("its name is not UTF-8"))?;
    let object = ObjectRef::new(BUCKET, name);
    if file.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    if let (true, Some(folder)) = (file.is_file(), file.parent()) {
        return Ok((Folder(Arc::new(LocalFileSystem::new_with_prefix(folder)?)), object));
    }
    let mut head = Vec::new();
    File::open(&file)?.take(SAMPLE_BYTES_MAX as u64 + 1).read_to_end(&mut head)?;
    let memory = InMemory::new();
    let path = store::path(name).map_err(|error| io::Error::other(error.report()))?;
    memory.put(&path, head.into()).await?;
    Ok((Folder(Arc::new(memory)), object))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    File::create_new(path)?.write_all(text.as_bytes())
}

/// One folder, which stands for every bucket.
#[derive(Debug)]
struct Folder(Arc<dyn ObjectStore>);

#[async_trait::async_trait]
impl Stores for Folder {
    fn bucket(&self, _: &str) -> Result<Arc<dyn ObjectStore>, StageError> {
        Ok(self.0.clone())
    }
}
