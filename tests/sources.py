"""What several tests need for data: a program that writes HDF5 in SWMR mode, and an environment for psana."""

WRITER = """
import sys, time, h5py, numpy as np
name, src, pause, kill = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4] == "kill"
frames = np.load(src)
stamps = np.load(sys.argv[5]) if len(sys.argv) > 5 else 10**18 + 10**7 * np.arange(len(frames))
time.sleep(0.3)
with h5py.File(name, "w", libver="latest") as file:
    data = file.create_dataset("run/data", (0, *frames.shape[1:]), frames.dtype, chunks=(3, *frames.shape[1:]),
                               maxshape=(None, *frames.shape[1:]), compression="gzip")
    times = file.create_dataset("run/timestamp", (0,), "u8", chunks=(16,), maxshape=(None,))
    time.sleep(0.2)
    file.swmr_mode = True
    for k, frame in enumerate(frames):
        for item, value in ((data, frame), (times, stamps[k])):
            item.resize(k + 1, axis=0)
            item[k] = value
            item.flush()
        time.sleep(pause)
    if kill:
        import os
        os._exit(0)
"""

# no logbook, no constants: nobody is asked on the network
ENVIRONMENT = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY"), "http://127.0.0.1:1") | {"NO_PROXY": ""}
# what importing psana says of the packages that it brings along
ENVIRONMENT["PYTHONWARNINGS"] = "error," + ",".join(
    f"ignore::DeprecationWarning:{module}"
    for module in ("amitypes.hsd", "kafka.protocol.schemas.load_json", "importlib.resources._legacy")
)
