// Returns a picture in at most 255 colours: {width, height, palette, indices}, the last two as base64.
async (source) => {
  const image = new Image();
  image.src = source;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.width;
  canvas.height = image.height;
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const pixels = new Uint32Array(context.getImageData(0, 0, image.width, image.height).data.buffer);
  const counts = new Map();
  for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) || 0) + 1);
  const kept = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 255).map(([colour]) => colour);
  const parts = (c) => [c & 255, (c >> 8) & 255, (c >> 16) & 255];
  const known = kept.map(parts);
  const index = new Map(kept.map((colour, n) => [colour, n]));
  for (const colour of counts.keys()) {
    if (index.has(colour)) continue;
    const [r, g, b] = parts(colour);
    let best = 0, least = Infinity;
    known.forEach(([x, y, z], n) => {
      const away = (r - x) ** 2 + (g - y) ** 2 + (b - z) ** 2;
      if (away < least) { least = away; best = n; }
    });
    index.set(colour, best);
  }
  const indices = new Uint8Array(pixels.length);
  for (let n = 0; n < pixels.length; n++) indices[n] = index.get(pixels[n]);
  const encode = (bytes) => {
    let text = "";
    for (let n = 0; n < bytes.length; n += 32768) text += String.fromCharCode(...bytes.subarray(n, n + 32768));
    return btoa(text);
  };
  return {width: image.width, height: image.height, palette: encode(new Uint8Array(known.flat())), indices: encode(indices)};
}
