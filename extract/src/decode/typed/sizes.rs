use arrow::{
    array::{Array, ArrayRef, AsArray, OffsetSizeTrait, RecordBatch},
    buffer::OffsetBuffer,
    datatypes::DataType,
};

/// About how many bytes each record's values take as text.
pub(super) fn record_bytes(batch: &RecordBatch) -> Vec<u64> {
    let mut sizes = vec![0; batch.num_rows()];
    batch.columns().iter().for_each(|column| add(column, &mut sizes));
    sizes
}

fn add(array: &ArrayRef, sizes: &mut [u64]) {
    match array.data_type() {
        DataType::Utf8 => add_ranges(array.as_string::<i32>().offsets(), sizes),
        DataType::LargeUtf8 => add_ranges(array.as_string::<i64>().offsets(), sizes),
        DataType::Binary => add_ranges(array.as_binary::<i32>().offsets(), sizes),
        DataType::LargeBinary => add_ranges(array.as_binary::<i64>().offsets(), sizes),
        DataType::Utf8View => add_each(array.as_string_view().lengths(), sizes),
        DataType::BinaryView => add_each(array.as_binary_view().lengths(), sizes),
        DataType::FixedSizeBinary(width) => add_all(u64::from(width.unsigned_abs()), sizes),
        DataType::List(_) => add_items(array.as_list::<i32>().offsets(), array.as_list::<i32>().values(), sizes),
        DataType::LargeList(_) => add_items(array.as_list::<i64>().offsets(), array.as_list::<i64>().values(), sizes),
        DataType::Map(_, _) => {
            let map = array.as_map();
            map.entries().columns().iter().for_each(|entry| add_items(map.offsets(), entry, sizes));
        }
        DataType::Struct(_) => array.as_struct().columns().iter().for_each(|field| add(field, sizes)),
        _ => add_all(8, sizes),
    }
}

fn add_all(bytes: u64, sizes: &mut [u64]) {
    sizes.iter_mut().for_each(|size| *size += bytes);
}

fn add_each(lengths: impl Iterator<Item = u32>, sizes: &mut [u64]) {
    sizes.iter_mut().zip(lengths).for_each(|(size, length)| *size += u64::from(length));
}

fn add_ranges<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>, sizes: &mut [u64]) {
    sizes.iter_mut().zip(offsets.lengths()).for_each(|(size, length)| *size += length as u64);
}

fn add_items<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>, items: &ArrayRef, sizes: &mut [u64]) {
    let mut item_sizes = vec![0; items.len()];
    add(items, &mut item_sizes);
    for (size, ends) in sizes.iter_mut().zip(offsets.windows(2)) {
        *size += item_sizes[ends[0].as_usize()..ends[1].as_usize()].iter().sum::<u64>();
    }
}
