// A layered layout of a small directed graph: columns from left to right, few crossings, and room
// for every label. It is deterministic.

export const loopHeight = 30; // height of a loop with its label, above its node

// layOut places a machine's states and transitions. sizes has {width, height} of a node, and
// label(transition), the width of a label. It returns
//   nodes: [{state, x, y}] with their centres,
//   edges: [{transition, points, label: {x, y}}] with the points of a line from source to target, which
//   is level at every second point,
//   loops: [{transition, x, y, label: {x, y}}], transitions of a state to itself, with the middle of
//   the node's upper side,
//   width and height.
export function layOut(machine, sizes) {
  const columns = columnsOf(machine);
  const loops = new Map(machine.transitions.filter((t) => t.from === t.to).map((t) => [t.from, t]));
  const edges = machine.transitions.filter((t) => t.from !== t.to).map((transition) => {
    const back = columns.get(transition.from) >= columns.get(transition.to);
    const [left, right] = back ? [transition.to, transition.from] : [transition.from, transition.to];
    return { transition, back, left, right, chain: [] };
  });

  // Even layers have nodes; the odd ones between them have labels.
  const layers = [];
  const place = (item, layer) => {
    item.layer = layer;
    item.links = { [-1]: [], [1]: [] }; // links to the layers before and after
    (layers[layer] ??= []).push(item);
    return item;
  };
  const nodes = new Map();
  for (const state of machine.states) {
    const loop = loops.get(state);
    nodes.set(state, place({
      state, height: sizes.height + (loop ? 2 * loopHeight : 0), gap: 16, // the same above and below: the middle is that of the node
      width: Math.max(sizes.width, loop ? sizes.label(loop) : 0),
    }, 2 * columns.get(state)));
  }
  for (const edge of edges) {
    const from = 2 * columns.get(edge.left), to = 2 * columns.get(edge.right);
    const labelled = edge.back ? to - 1 : from + 1; // next to the source
    let before = nodes.get(edge.left);
    for (let layer = from + 1; layer <= to; layer += 1) {
      const item = layer === to ? nodes.get(edge.right) : place({
        edge, labelled: layer === labelled, height: layer === labelled ? 18 : 6, gap: 5,
        width: layer === labelled ? sizes.label(edge.transition) : 0,
      }, layer);
      before.links[1].push(item);
      item.links[-1].push(before);
      edge.chain.push(before);
      before = item;
    }
    edge.chain.push(before);
  }

  order(layers);
  level(layers);
  const { xs, widths, width } = spread(layers);
  const all = layers.flat();
  const top = Math.min(...all.map((item) => item.y - item.height / 2));
  for (const item of all) item.y -= top;
  ports([...nodes.values()], edges, sizes.height);
  return {
    nodes: [...nodes.values()].map(({ state, layer, y }) => ({ state, x: xs[layer], y })),
    edges: edges.map((edge) => drawn(edge, xs, widths, sizes.width)),
    loops: [...loops].map(([state, transition]) => {
      const x = xs[nodes.get(state).layer], y = nodes.get(state).y - sizes.height / 2;
      return { transition, x, y, label: { x, y: y - loopHeight + 9 } };
    }),
    width, height: Math.max(...all.map((item) => item.y + item.height / 2)),
  };
}

// columnsOf gives each state a column: one more than the last column of its predecessors, without
// transitions that lead back.
function columnsOf({ states, transitions }) {
  const forward = [];
  const seen = new Set(), under = new Set();
  const visit = (state) => {
    seen.add(state);
    under.add(state);
    for (const t of transitions) {
      if (t.from !== state || under.has(t.to)) continue;
      forward.push(t);
      if (!seen.has(t.to)) visit(t.to);
    }
    under.delete(state);
  };
  for (const state of states) if (!seen.has(state)) visit(state);
  const columns = new Map(states.map((state) => [state, 0]));
  for (let round = 0; round < states.length; round += 1) {
    for (const t of forward) columns.set(t.to, Math.max(columns.get(t.to), columns.get(t.from) + 1));
  }
  return columns;
}

// order sorts each layer for few crossings: by the mean position of an item's links, back and
// forth, and then by swaps of neighbours while these help.
function order(layers) {
  const number = () => layers.forEach((layer) => layer.forEach((item, i) => { item.at = i; }));
  number();
  let best = { crossings: Infinity, layers: [] };
  const keep = () => {
    const crossings = layers.slice(1).reduce((sum, layer) => sum + crossingsBefore(layer), 0);
    if (crossings < best.crossings) best = { crossings, layers: layers.map((layer) => [...layer]) };
  };
  keep();
  for (let sweep = 0; sweep < 12; sweep += 1) {
    const side = sweep % 2 ? 1 : -1;
    for (const layer of sweep % 2 ? layers.toReversed() : layers) {
      for (const item of layer) {
        const linked = item.links[side];
        item.middle = linked.length ? linked.reduce((sum, other) => sum + other.at / linked.length, 0) : item.at;
      }
      layer.sort((a, b) => a.middle - b.middle || a.at - b.at);
      layer.forEach((item, i) => { item.at = i; });
    }
    keep();
  }
  best.layers.forEach((layer, i) => layers[i].splice(0, Infinity, ...layer));
  number();
  for (let better = true; better;) {
    better = false;
    for (const layer of layers) {
      for (let i = 0; i + 1 < layer.length; i += 1) {
        const [a, b] = [layer[i], layer[i + 1]];
        if (pairCrossings(a, b) <= pairCrossings(b, a)) continue;
        [layer[i], layer[i + 1]] = [b, a];
        [a.at, b.at] = [i + 1, i];
        better = true;
      }
    }
  }
}

function crossingsBefore(layer) {
  let sum = 0;
  layer.forEach((a, i) => layer.slice(i + 1).forEach((b) => { sum += sideCrossings(a, b, -1); }));
  return sum;
}

// pairCrossings counts the crossings of lines of a and b if a comes before b.
const pairCrossings = (a, b) => sideCrossings(a, b, -1) + sideCrossings(a, b, 1);

function sideCrossings(a, b, side) {
  let sum = 0;
  for (const p of a.links[side]) for (const q of b.links[side]) if (p.at > q.at) sum += 1;
  return sum;
}

// level sets heights: each item close to its links, in the order of its layer, with room in
// between.
function level(layers) {
  for (const layer of layers) {
    let y = 0;
    layer.forEach((item, i) => {
      y += i ? apart(layer[i - 1], item) : 0;
      item.y = y;
    });
    layer.forEach((item) => { item.y -= y / 2; });
  }
  for (let sweep = 0; sweep < 24; sweep += 1) {
    const sides = sweep > 20 ? [-1, 1] : sweep % 2 ? [1] : [-1];
    for (const layer of sweep % 2 ? layers.toReversed() : layers) {
      const wanted = layer.map((item) => {
        const linked = sides.flatMap((side) => item.links[side]);
        return linked.length ? linked.reduce((sum, other) => sum + other.y / linked.length, 0) : item.y;
      });
      settle(layer, wanted);
    }
  }
}

const apart = (a, b) => (a.height + b.height) / 2 + Math.max(a.gap, b.gap);

// settle gives the items of a layer the heights closest to the wanted ones that keep their
// distances: items that push each other move as one block.
function settle(layer, wanted) {
  const offsets = [0];
  for (let i = 1; i < layer.length; i += 1) offsets[i] = offsets[i - 1] + apart(layer[i - 1], layer[i]);
  const blocks = [];
  wanted.forEach((y, i) => {
    let block = { sum: y - offsets[i], items: 1 };
    while (blocks.length && blocks.at(-1).sum / blocks.at(-1).items > block.sum / block.items) {
      const before = blocks.pop();
      block = { sum: before.sum + block.sum, items: before.items + block.items };
    }
    blocks.push(block);
  });
  let i = 0;
  for (const { sum, items } of blocks) {
    for (let n = 0; n < items; n += 1, i += 1) layer[i].y = sum / items + offsets[i];
  }
}

// spread places the layers from left to right. Layers with steeper lines between them get more
// room.
function spread(layers) {
  const widths = layers.map((layer) => Math.max(0, ...layer.map((item) => item.width)));
  const xs = [];
  let x = 0;
  widths.forEach((width, i) => {
    if (i) {
      const steepest = Math.max(...layers[i].flatMap((item) => item.links[-1].map((other) => Math.abs(item.y - other.y))));
      x += Math.min(48, Math.max(24, 0.5 * steepest));
    }
    xs[i] = x + width / 2;
    x += width;
  });
  return { xs, widths, width: x };
}

// ports spreads the ends of lines over the sides of the nodes, in the order of their other ends.
function ports(nodes, edges, height) {
  for (const node of nodes) {
    for (const [end, near] of [['left', 1], ['right', -2]]) {
      const here = edges.filter((edge) => edge[end] === node.state).sort((a, b) => a.chain.at(near).y - b.chain.at(near).y);
      const step = Math.min(9, (height - 10) / Math.max(1, here.length - 1));
      here.forEach((edge, i) => { edge[end + 'Y'] = node.y + (i - (here.length - 1) / 2) * step; });
    }
  }
}

function drawn(edge, xs, widths, nodeWidth) {
  const inner = edge.chain.slice(1, -1);
  const first = edge.chain[0].layer, last = edge.chain.at(-1).layer;
  const points = [{ x: xs[first] + nodeWidth / 2, y: edge.leftY }];
  for (const item of inner) {
    const half = item.layer % 2 ? item.width / 2 : widths[item.layer] / 2;
    points.push({ x: xs[item.layer] - half, y: item.y }, { x: xs[item.layer] + half, y: item.y });
  }
  points.push({ x: xs[last] - nodeWidth / 2, y: edge.rightY });
  const label = inner.find((item) => item.labelled);
  return {
    transition: edge.transition, points: edge.back ? points.reverse() : points,
    label: { x: xs[label.layer], y: label.y },
  };
}
