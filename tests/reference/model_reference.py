"""The text model and its draft head in float64 numpy, written from spec/architecture.md section 4 and spec/mtp.md
section 2 alone: the recurrence token by token, no chunks, no cache. Used by model_tiny.py."""

import numpy as np

EPS_L2 = 1e-6


def rotary_table(theta, dims, sections):
    """Inverse frequencies with the reference's three float32 roundings (4.5), and the component of each pair."""
    m = np.arange(dims // 2)
    exponent = (np.float32(2) * m.astype(np.float32) / np.float32(dims)).astype(np.float32)
    power = np.power(np.float64(theta), exponent.astype(np.float64)).astype(np.float32)
    inverse = (np.float32(1) / power).astype(np.float32)
    component = np.zeros(dims // 2, dtype=int)
    for axis in (1, 2):
        component[(m % 3 == axis) & (m < 3 * sections[axis])] = axis
    return inverse, component


def rms(x, weight, eps):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def softplus(x):
    return np.where(x > 20, x, np.log1p(np.exp(np.minimum(x, 20))))


class Model:
    def __init__(self, config, tensors):
        """tensors: float64 arrays by their text-only names ("model.layers.0...", "lm_head.weight", "mtp....")."""
        self.c = config
        self.t = tensors
        rope = config["rope_parameters"]
        dims = int(config["head_dim"] * rope["partial_rotary_factor"])
        self.inverse, self.component = rotary_table(rope["rope_theta"], dims, rope["mrope_section"])
        self.eps = config["rms_norm_eps"]

    def w(self, name):
        return self.t[name]

    def norm1(self, x, name):
        return rms(x, 1 + self.w(name), self.eps)

    def rotate(self, x, positions):
        """x [T, heads, D]; positions [T]: text, so all components are equal."""
        angle = positions.astype(np.float32)[:, None] * self.inverse[None, :]  # a float32 product
        cos, sin = np.cos(angle.astype(np.float64)), np.sin(angle.astype(np.float64))
        half = len(self.inverse)
        a, b = x[..., :half], x[..., half : 2 * half]
        cos, sin = cos[:, None, :], sin[:, None, :]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin, x[..., 2 * half :]], axis=-1)

    def attention(self, x, prefix, positions):
        c, rows = self.c, len(x)
        heads, kv, dim = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        q = (x @ self.w(prefix + "q_proj.weight").T).reshape(rows, heads, 2, dim)
        query, gate = q[:, :, 0], q[:, :, 1].reshape(rows, heads * dim)
        key = (x @ self.w(prefix + "k_proj.weight").T).reshape(rows, kv, dim)
        value = (x @ self.w(prefix + "v_proj.weight").T).reshape(rows, kv, dim)
        query = self.rotate(self.norm1(query, prefix + "q_norm.weight"), positions)
        key = self.rotate(self.norm1(key, prefix + "k_norm.weight"), positions)
        out = np.zeros((rows, heads, dim))
        for h in range(heads):
            g = h // (heads // kv)
            for i in range(rows):
                s = key[: i + 1, g] @ query[i, h] / np.sqrt(dim)
                p = np.exp(s - s.max())
                out[i, h] = (p / p.sum()) @ value[: i + 1, g]
        return (out.reshape(rows, heads * dim) * sigmoid(gate)) @ self.w(prefix + "o_proj.weight").T

    def delta_net(self, x, prefix):
        c, rows = self.c, len(x)
        hk, hv = c["linear_num_key_heads"], c["linear_num_value_heads"]
        dk, dv, taps = c["linear_key_head_dim"], c["linear_value_head_dim"], c["linear_conv_kernel_dim"]
        u = x @ self.w(prefix + "in_proj_qkv.weight").T
        z = (x @ self.w(prefix + "in_proj_z.weight").T).reshape(rows, hv, dv)
        b = x @ self.w(prefix + "in_proj_b.weight").T
        a = x @ self.w(prefix + "in_proj_a.weight").T
        kernel = self.w(prefix + "conv1d.weight")[:, 0, :]
        padded = np.concatenate([np.zeros((taps - 1, u.shape[1])), u])
        conv = silu(sum(padded[j : j + rows] * kernel[:, j] for j in range(taps)))
        q = conv[:, : hk * dk].reshape(rows, hk, dk)
        k = conv[:, hk * dk : 2 * hk * dk].reshape(rows, hk, dk)
        v = conv[:, 2 * hk * dk :].reshape(rows, hv, dv)
        q = q / np.sqrt(np.sum(q * q, axis=-1, keepdims=True) + EPS_L2) / np.sqrt(dk)
        k = k / np.sqrt(np.sum(k * k, axis=-1, keepdims=True) + EPS_L2)
        beta = sigmoid(b)
        g = -np.exp(self.w(prefix + "A_log")) * softplus(a + self.w(prefix + "dt_bias"))
        state = np.zeros((hv, dk, dv))
        out = np.zeros((rows, hv, dv))
        for t in range(rows):
            for h in range(hv):
                kh, qh = k[t, h // (hv // hk)], q[t, h // (hv // hk)]
                state[h] *= np.exp(g[t, h])
                d = beta[t, h] * (v[t, h] - state[h].T @ kh)
                state[h] += np.outer(kh, d)
                out[t, h] = state[h].T @ qh
        gated = rms(out, self.w(prefix + "norm.weight"), self.eps) * silu(z)
        return gated.reshape(rows, hv * dv) @ self.w(prefix + "out_proj.weight").T, state

    def mlp(self, x, prefix):
        gate = silu(x @ self.w(prefix + "gate_proj.weight").T)
        return (gate * (x @ self.w(prefix + "up_proj.weight").T)) @ self.w(prefix + "down_proj.weight").T

    def layer(self, h, prefix, kind, positions):
        x = self.norm1(h, prefix + "input_layernorm.weight")
        state = None
        if kind == "full_attention":
            h = h + self.attention(x, prefix + "self_attn.", positions)
        else:
            mixed, state = self.delta_net(x, prefix + "linear_attn.")
            h = h + mixed
        return h + self.mlp(self.norm1(h, prefix + "post_attention_layernorm.weight"), prefix + "mlp."), state

    def forward(self, ids):
        """h_final [T, H] and the recurrent states of the linear layers."""
        h = self.w("model.embed_tokens.weight")[ids]
        positions, states = np.arange(len(ids)), []
        for i, kind in enumerate(self.c["layer_types"]):
            h, state = self.layer(h, f"model.layers.{i}.", kind, positions)
            if state is not None:
                states.append(state)
        return self.norm1(h, "model.norm.weight"), states

    def logits(self, h):
        head = "model.embed_tokens.weight" if self.c["tie_word_embeddings"] else "lm_head.weight"
        return h @ self.w(head).T

    def draft(self, hidden, ids):
        """Head rows m for slots 0..: hidden [T, H] and the tokens that follow each."""
        e = self.norm1(self.w("model.embed_tokens.weight")[ids], "mtp.pre_fc_norm_embedding.weight")
        u = np.concatenate([e, self.norm1(hidden, "mtp.pre_fc_norm_hidden.weight")], axis=-1)
        r, _ = self.layer(u @ self.w("mtp.fc.weight").T, "mtp.layers.0.", "full_attention", np.arange(len(ids)))
        return self.norm1(r, "mtp.norm.weight")
