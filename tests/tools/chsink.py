#!/usr/bin/env python3
# mypy: ignore-errors
"""Stand-in for a ClickHouse HTTP endpoint: answers 200 to every request, counts requests and body bytes.

Loopback only. Measures the sender's own cost, not ClickHouse's. Ends after --max-seconds or on SIGTERM.
  chsink.py --port 8123 --capture dir   # also keeps the first bodies and request lines for inspection
"""
import argparse, json, os, signal, socket, sys, threading, time


def serve(conn, st, cap):
    f = conn.makefile("rb", buffering=1 << 18)
    buf = bytearray(1 << 20)
    try:
        while True:
            line = f.readline()
            if not line:
                return
            n, chunked, hdr = 0, False, [line]
            while True:
                h = f.readline()
                if h in (b"\r\n", b""):
                    break
                hdr.append(h)
                k, _, v = h.lower().partition(b":")
                if k == b"content-length":
                    n = int(v)
                elif k == b"transfer-encoding" and b"chunked" in v:
                    chunked = True
                elif k == b"expect":
                    conn.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            got, keep = 0, cap and st["requests"] < 4
            out = open(os.path.join(cap, "body%d.bin" % st["requests"]), "wb") if keep else None
            while True:
                if chunked:
                    n = int(f.readline().split(b";")[0], 16)
                left = n
                while left:
                    m = f.readinto(memoryview(buf)[:min(left, len(buf))])
                    if not m:
                        return
                    if out:
                        out.write(memoryview(buf)[:m])
                    left -= m
                    got += m
                if chunked:
                    f.readline()
                if not chunked or n == 0:
                    break
            if out:
                out.close()
                with open(os.path.join(cap, "head%d.txt" % st["requests"]), "wb") as o:
                    o.writelines(hdr)
            st["requests"] += 1
            st["bytes"] += got
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-ClickHouse-Format: TabSeparated\r\n\r\n")
    except (OSError, ValueError):
        pass
    finally:
        conn.close()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--port", type=int, default=8123)
    p.add_argument("--capture")
    p.add_argument("--max-seconds", type=float, default=600)
    a = p.parse_args()
    if a.capture:
        os.makedirs(a.capture, exist_ok=True)
    st = dict(requests=0, bytes=0)
    s = socket.create_server(("127.0.0.1", a.port), backlog=128)
    s.settimeout(0.5)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    end = time.monotonic() + a.max_seconds
    while not stop.is_set() and time.monotonic() < end:
        try:
            c, _ = s.accept()
        except socket.timeout:
            continue
        threading.Thread(target=serve, args=(c, st, a.capture), daemon=True).start()
    st["cpu_s"] = round(time.process_time(), 2)
    print(json.dumps(st), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
