"""Find the modules of a network and record their activations during a forward pass.

Input: a transformers network and texts as token ids.
Output: attention modules, layers and unembedding of the network; traces of heads, rows and layers during a pass.
"""
