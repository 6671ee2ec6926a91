"""What steps wrote, byte for byte.

    agent: pipe ─► mask ─► spool ─► session ═══► engine: LogStore.write ─► segments of the run ─► sync ─► acknowledgement
                                                                  └─► live tail (followers by offset)

Bytes of an attempt are numbered from 0. A duplicate is dropped, a gap is refused, an attempt ends only when all
its bytes are durable and the hash agrees. One folder of segments for each run: damage is confined to it, and a run is
removed by removing its folder.

Files: `contract` what a log store promises · `masking` secrets become `***` · `store` the store on files, over `segments` (writing),
`syncing` (group fsync), `tail` (followers), `hashing` (digests), `reading`, and `recovery` (what a crash left) over `scan`, `framing`
and `index` (the bytes) · `verifying` every byte looked at · `blocking` calls away from the loop.

What fails: a disk that is full refuses the write and leaves the segment exact; a failed sync is answered as an error, nothing more is
taken for that run until its bytes were written anew; damage is named by file and position and confined to its run.
"""
