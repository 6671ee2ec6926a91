"""What steps wrote, byte for byte.

    agent: pipe ─► mask ─► spool ─► session ═══► engine: LogStore.write ─► segments of the run ─► sync ─► acknowledgement
                                                                  └─► live tail (followers by offset)

Bytes of an attempt are numbered from 0. A duplicate is dropped, a gap is refused, an attempt ends only when all
its bytes are durable and the hash agrees. One folder of segments for each run: damage is confined to it, and a run is
removed by removing its folder.
"""
