use stepwell_pipeline::{ErrorKind, StageError};

use super::{
    compress, landed, lines, squeeze,
    zip::{ZipEntry, zip},
};
use crate::source::{Compression, Files};

/// The names and contents of an archive's files.
async fn unzip(bytes: Vec<u8>) -> Result<Vec<(String, Vec<u8>)>, StageError> {
    let (context, source) = landed("a.zip", bytes).await;
    let mut files = Files::open(&context, &source).await?;
    let mut contents = Vec::new();
    while let Some(file) = files.next().await? {
        assert_eq!(file.index as usize, contents.len());
        assert!(file.plain().is_none());
        let name = file.name.clone().expect("is in an archive");
        let (mut text, mut content) = (file.text(None).await?, Vec::new());
        while let Some(piece) = text.next().await? {
            content.extend_from_slice(&piece);
        }
        contents.push((name, content));
    }
    Ok(contents)
}

async fn refused(entries: &[ZipEntry]) -> String {
    refusal(zip(entries, None)).await
}

async fn refusal(bytes: Vec<u8>) -> String {
    let error = unzip(bytes).await.expect_err("is refused");
    assert_eq!(error.kind(), ErrorKind::UnreadableSource);
    error.to_string()
}

fn stored(name: &str) -> ZipEntry {
    ZipEntry::new(name, Compression::None, b"a,b\n1,2\n")
}

#[tokio::test]
async fn files_of_every_method_come_in_the_directorys_order() {
    let content = lines(700_000);
    for zip64 in [false, true] {
        let mut entries = vec![
            ZipEntry::new("folder/", Compression::None, b""),
            ZipEntry::new("folder/z.csv", Compression::Deflate, &content),
            ZipEntry::new("__MACOSX/._z.csv", Compression::None, b"\0\0"),
            ZipEntry::new("b.csv", Compression::None, &content),
            ZipEntry::new("folder/.DS_Store", Compression::None, b"\0\0"),
            ZipEntry::new("a.csv", Compression::Zstd, &content),
            ZipEntry::new("c ü.csv", Compression::Bzip2, &content),
            ZipEntry::new("empty.csv", Compression::Deflate, b""),
        ];
        entries[1].zip64 = zip64;
        entries[3].flags = 8;
        let files = unzip(zip(&entries, None)).await.expect("is an archive");
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["folder/z.csv", "b.csv", "a.csv", "c ü.csv", "empty.csv"]);
        assert!(files[..4].iter().all(|(_, found)| *found == content));
        assert!(files[4].1.is_empty());
    }
}

#[tokio::test]
async fn a_file_can_be_opened_by_its_place() {
    let entries = [stored("a.csv"), stored("b.csv"), stored("c.csv")];
    let (context, source) = landed("a.zip", zip(&entries, None)).await;
    let mut files = Files::open(&context, &source).await.expect("opens");
    assert_eq!(files.open_at(1).await.expect("opens").expect("is there").name.as_deref(), Some("b.csv"));
    assert_eq!(files.next().await.expect("opens").expect("is there").name.as_deref(), Some("c.csv"));
    assert!(files.next().await.expect("ends").is_none());
    assert!(files.open_at(7).await.expect("ends").is_none());
}

#[tokio::test]
async fn names_that_no_honest_archive_has_are_refused() {
    for (name, expected) in [
        ("../../etc/passwd", "leads out of the archive"),
        ("a/../../b.csv", "leads out of the archive"),
        ("..\\b.csv", "leads out of the archive"),
        ("/etc/passwd", "is an absolute path"),
        ("C:\\b.csv", "is an absolute path"),
        ("a\\b.csv", "holds a backslash"),
        ("a\nb.csv", "holds a control character: `a\\nb.csv`"),
        ("a\u{9b}b.csv", "holds a control character"),
        ("", "is empty or too long"),
        (&"x".repeat(2000), "is empty or too long"),
    ] {
        let message = refused(&[stored("fine.csv"), stored(name)]).await;
        assert!(message.contains(expected), "{name:?}: {message}");
        assert!(message.len() < 600);
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let mut encrypted = stored("secret.csv");
    encrypted.flags = 1;
    assert!(refused(&[encrypted]).await.contains("`secret.csv` of the zip archive s3://landing/a.zip is encrypted"));
    let mut lzma = stored("a.csv");
    lzma.method = 14;
    assert!(refused(&[lzma]).await.contains("is compressed by"));
    let message = refused(&[stored("[Content_Types].xml"), stored("xl/workbook.xml")]).await;
    assert!(message.contains("office document"), "{message}");
    assert!(refused(&[]).await.contains("holds no file"));
    assert!(refused(&[ZipEntry::new("only/", Compression::None, b"")]).await.contains("holds no file"));
    let message = refused(&[stored("a.csv"), stored("a.csv")]).await;
    assert!(message.contains("two entries named `a.csv`"), "{message}");
}

#[tokio::test]
async fn archives_in_archives_are_not_followed() {
    let inner = zip(&[stored("a.csv")], None);
    for compression in [Compression::None, Compression::Deflate] {
        let message = refused(&[ZipEntry::new("inner.zip", compression, &inner)]).await;
        assert!(message.contains("`inner.zip`") && message.contains("holds another compressed file"), "{message}");
    }
    let gzip = compress(Compression::Gzip, b"a,b\n");
    assert!(refused(&[ZipEntry::new("a.csv.gz", Compression::None, &gzip)]).await.contains("unpack it first"));
    for packed in [compress(Compression::Gzip, &inner), compress(Compression::Gzip, &gzip)] {
        assert!(refusal(packed).await.contains("holds another compressed file"));
    }
}

#[tokio::test]
async fn entries_that_share_bytes_are_refused() {
    let mut twin = stored("b.csv");
    twin.offset = Some(0);
    let message = refused(&[stored("a.csv"), twin]).await;
    assert!(message.contains("shares bytes"), "{message}");
    let mut beyond = stored("b.csv");
    beyond.offset = Some(1 << 30);
    refused(&[stored("a.csv"), beyond]).await;
    let mut long = stored("a.csv");
    let packed = long.packed.split_off(2);
    let message = refused(&[long.clone(), stored("b.csv")]).await;
    assert!(message.contains("holds 2 and not the 8 bytes"), "{message}");
    long.packed.extend([&packed[..], b"more"].concat());
    let message = refused(&[long, stored("b.csv")]).await;
    assert!(message.contains("holds more than the 8 bytes"), "{message}");
}

#[tokio::test]
async fn contradictions_between_directory_and_headers_are_refused() {
    let mut other = stored("a.csv");
    other.local_name = Some(b"b.csv".to_vec());
    assert!(refused(&[other]).await.contains("is not what its directory says"));
    for count in [1, 3] {
        let message = refusal(zip(&[stored("a.csv"), stored("b.csv")], Some(count))).await;
        assert!(message.contains("damaged"), "{message}");
    }
    let mut wrong = stored("a.csv");
    wrong.crc32 ^= 1;
    assert!(refused(&[wrong]).await.contains("checksum"));
}

#[tokio::test]
async fn truncated_archives_are_an_error_at_every_byte() {
    let entries = [ZipEntry::new("a.csv", Compression::Deflate, &lines(200)), stored("b.csv")];
    for zip64 in [false, true] {
        let mut entries = entries.clone();
        entries[1].zip64 = zip64;
        let whole = zip(&entries, None);
        unzip(whole.clone()).await.expect("is an archive");
        for end in 4..whole.len() {
            let message = refusal(whole[..end].to_vec()).await;
            assert!(message.contains("truncated") || message.contains("damaged"), "{end}: {message}");
        }
    }
}

#[tokio::test]
async fn flipped_bits_lose_no_record_silently() {
    let entries = [ZipEntry::new("a.csv", Compression::Deflate, &lines(200)), stored("b.csv")];
    let whole = zip(&entries, None);
    let expected: Vec<_> = unzip(whole.clone()).await.expect("is an archive");
    for bit in 32..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        match unzip(damaged).await {
            // Names are protected by no checksum.
            Ok(files) => assert!(
                files.iter().map(|(_, content)| content).eq(expected.iter().map(|(_, content)| content)),
                "bit {bit}"
            ),
            Err(error) => assert_eq!(error.kind(), ErrorKind::UnreadableSource, "bit {bit}: {error}"),
        }
    }
}

#[tokio::test]
async fn bombs_spread_over_entries_are_refused() {
    let content = b"1,2,3,4,5,6,7,8\n".repeat(2 << 20);
    let packed = squeeze(Compression::Deflate, &content);
    let bomb = |index| {
        let honest = ZipEntry::new(format!("{index}.csv"), Compression::None, &content);
        ZipEntry { method: 8, packed: packed.clone(), ..honest }
    };
    let message = refused(&(0..6).map(bomb).collect::<Vec<_>>()).await;
    assert!(message.contains("decompression bombs"), "{message}");
}

#[tokio::test]
async fn directories_beyond_bounds_are_refused() {
    let entries: Vec<_> = (0..9000).map(|index| stored(&format!("{index:0>1000}"))).collect();
    let message = refused(&entries).await;
    assert!(message.contains("split it"), "{message}");
    let entries: Vec<_> = (0..3000).map(|index| stored(&format!("{index:0>500}"))).collect();
    let (context, source) = landed("a.zip", zip(&entries, None)).await;
    let mut files = Files::open(&context, &source).await.expect("a directory of 1.6 MB is read");
    assert!(files.open_at(2999).await.expect("opens").is_some());
}
