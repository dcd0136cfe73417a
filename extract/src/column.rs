/// One column's cells of the records of a block.
pub(crate) trait Fields {
    /// How many records the block has.
    fn len(&self) -> usize;
    /// The cell's text: unquoted, unescaped, not trimmed. None: JSON null, or the record lacks the column.
    fn get(&self, record: usize) -> Option<&[u8]>;
}
